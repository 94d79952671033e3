# distromatrix in a container, on the engine of its host: docs/engines.md says what that means.
ARG BASE=debian:13-slim

FROM $BASE AS build
RUN apt-get update && apt-get install -y --no-install-recommends python3-venv
COPY . /src
RUN python3 -m venv /opt/distromatrix && /opt/distromatrix/bin/pip install --no-cache-dir /src

FROM $BASE
# Each container is a host of its own to others that share the engine: by its name.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates docker-cli git procps python3 \
    && rm -rf /var/lib/apt/lists/* \
    && : > /etc/machine-id
COPY --from=build /opt/distromatrix /opt/distromatrix
ENV PATH=/opt/distromatrix/bin:$PATH
ENTRYPOINT ["distromatrix"]
