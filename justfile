# What people and CI run; `just` lists it.

set shell := ["bash", "-euo", "pipefail", "-c"]

_default:
    @just --list --unsorted

# Install what the tests need beside Rust: PostgreSQL, Node.js 20, Chromium and others (Debian; needs root)
setup:
    .ci/setup

# Run the whole product with nothing configured; arguments go to `dev`
dev *arguments:
    cargo run --release --bin parlant-server -- dev {{arguments}}

# Run every Rust test
test *arguments:
    cargo test --workspace {{arguments}}

# Check formatting and lints; warnings are errors
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

# Build each feature of the auth crate alone, as others link it
features:
    for feature in "" postgres http jwt actix tower testing fixture; do \
        cargo clippy -p parlant-auth-bridge --no-default-features --features "$feature" -- -D warnings; \
    done

# Run the auth crate's tests with each feature alone; takes some minutes
test-features:
    for feature in "" postgres http jwt actix tower testing fixture; do \
        cargo test -p parlant-auth-bridge --no-default-features --features "$feature"; \
    done

# Present mutated credentials to the auth crate for so long
fuzz seconds="60":
    AUTH_FUZZ_SECONDS={{seconds}} cargo test -p parlant-auth-bridge --all-features --test it fuzz -- --nocapture

# Build the documentation; broken links are errors
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items

# Measure; arguments choose, as in `just bench cached`
bench *arguments:
    cargo bench --workspace --bench authenticate --bench revalidate --bench listing --bench http --bench evaluate -- {{arguments}}

# Put what `just dev` runs under load; arguments go to `load-test`
load-test *arguments:
    cargo run --release --bin parlant-ops -- load-test --dev {{arguments}}

# Measure what 1,000 idle streams cost, and a backup beside pg_dump with gzip; some minutes each
bench-whole:
    cargo build --release --bins
    cargo bench -p parlant-api --bench streams
    benches/backup

# Run the end-to-end suites against the release binaries
e2e:
    cargo build --release --bins
    for suite in e2e/*/run; do echo "== $suite"; SECONDS=0; "$suite"; echo "== $suite took $SECONDS s"; done

# Everything that has to hold before a change lands
ci: lint features doc test e2e
