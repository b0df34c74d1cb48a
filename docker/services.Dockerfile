# PostgreSQL, Redis and Prometheus from Debian's packages, where no registry has their official images: they take the
# same commands and settings as those, as far as compose.yml uses them. Built by docker/service-images.
ARG BASE_IMAGE
FROM ${BASE_IMAGE} AS debian
RUN apt-get update -qq

FROM debian AS postgres
# Debian would make a cluster at install; this image makes its own at the first start.
RUN mkdir -p /etc/postgresql-common && echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql-15 \
    && install -d -o postgres -g postgres -m 0700 /var/lib/postgresql /docker-entrypoint-initdb.d
ENV PATH=/usr/lib/postgresql/15/bin:$PATH
COPY docker/postgres-entrypoint.sh /usr/local/bin/entrypoint.sh
USER postgres
VOLUME /var/lib/postgresql
STOPSIGNAL SIGINT
ENTRYPOINT ["entrypoint.sh"]
CMD ["postgres"]

FROM debian AS redis
RUN DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends redis-server
USER redis
# Debian's listens on the loopback address unless told otherwise.
ENTRYPOINT ["sh", "-c", "exec \"$@\" --bind '* -::*'", "sh"]
CMD ["redis-server"]

FROM debian AS prometheus
RUN DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends prometheus \
    && install -d -o nobody -g nogroup /prometheus
USER nobody
VOLUME /prometheus
ENTRYPOINT ["prometheus"]
