# The service without a model's training: docker build -t wensheng .
# One image, two start commands: the worker (below) and the dashboard (python -m dashboard.server).

FROM python:3.11-slim-bookworm AS packages
# What only training and a GPU need, by their names in requirements.txt: 1 GB less. For a GPU: --build-arg LEFT_OUT=none
ARG LEFT_OUT="torch|transformers|onnx"
WORKDIR /build
COPY requirements.txt constraints.txt ./
RUN grep -vE "^(${LEFT_OUT})==" requirements.txt > serving.txt \
    && python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --disable-pip-version-check -c constraints.txt -r serving.txt

FROM python:3.11-slim-bookworm
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    WENSHENG_DATA_DIR=/data HOME=/tmp
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin wensheng \
    && install -d -o wensheng -g wensheng /data /data/inbox
COPY --from=packages /venv /venv
WORKDIR /srv/wensheng
COPY . .
USER wensheng
VOLUME /data
EXPOSE 8501 9464
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s \
    CMD ["python", "deploy/healthy.py", "http://127.0.0.1:9464/health"]
CMD ["python", "manage.py", "work"]
