# parlant-backup with PostgreSQL's programs: pg_dump for the backup, the server for the trial restore.
#
#   docker build -f deploy/container/backup.Dockerfile -t parlant-backup:0.1.0 .
#
# PG_MAJOR must not be older than the server that is backed up.
ARG PG_MAJOR=17

FROM rust:1.95-bookworm AS build
WORKDIR /source
COPY . .
RUN cargo build --release --locked --bin parlant-backup

FROM postgres:${PG_MAJOR}-bookworm
RUN apt-get update \
    && apt-get install --yes --no-install-recommends age ca-certificates tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin parlant-backup
COPY --from=build /source/target/release/parlant-backup /usr/local/bin/
USER 10001:10001
ENV BACKUP_DIR=/backups
# Signals reach the program, and what PostgreSQL leaves behind is reaped.
ENTRYPOINT ["tini", "--", "parlant-backup"]
CMD ["run"]
