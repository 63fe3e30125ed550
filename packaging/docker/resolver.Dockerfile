# A validating resolver for the relay's own use: it listens on the loopback that both share.
FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends unbound dns-root-data ca-certificates \
    && rm -rf /var/lib/apt/lists/*
COPY packaging/docker/unbound.conf /etc/unbound/unbound.conf
EXPOSE 25 587 8080
CMD ["unbound", "-d", "-p", "-c", "/etc/unbound/unbound.conf"]
