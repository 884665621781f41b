# The engine: Parlant in the version that the bridge is tested with (docs/operations/engine.md).
#
#   docker build -f deploy/container/parlant.Dockerfile -t parlant-engine:3.3.2 deploy/container
FROM python:3.12-slim-bookworm
RUN pip install --no-cache-dir parlant==3.3.2 'fastapi<0.137'
COPY engine.py /usr/local/bin/
USER 10001:10001
# All that it writes are a log and caches.
ENV PARLANT_HOME=/tmp/parlant HOME=/tmp PYTHONUNBUFFERED=1
WORKDIR /tmp
EXPOSE 8800
HEALTHCHECK --interval=10s --timeout=6s --start-period=120s --retries=3 \
    CMD ["python3", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8800/healthz', timeout=5)"]
CMD ["python3", "/usr/local/bin/engine.py"]
