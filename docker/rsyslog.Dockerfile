# The rsyslog of compose.yaml: it stands for the rsyslog on your mail server.

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends rsyslog bsdutils \
 && rm -rf /var/lib/apt/lists/*
COPY docker/rsyslog.conf /etc/rsyslog.conf
EXPOSE 514/udp
CMD ["rsyslogd", "-n"]
