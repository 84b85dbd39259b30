# The gateway. Built from the repository's top folder: see compose.yaml.
FROM python:3.13-bookworm AS build
WORKDIR /source
COPY pyproject.toml setup.py README.md LICENSE ./
COPY firmware ./firmware
COPY gateway ./gateway
COPY simulator ./simulator
RUN pip wheel --no-cache-dir --wheel-dir /wheels .

FROM python:3.13-slim-bookworm
RUN --mount=from=build,source=/wheels,target=/wheels pip install --no-cache-dir --no-index --find-links /wheels footfall
WORKDIR /etc/footfall
CMD ["footfall", "run", "--config", "/etc/footfall/footfall.toml"]
