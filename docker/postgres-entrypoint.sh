#!/bin/sh
# As the official image does it: the first time make a cluster and run /docker-entrypoint-initdb.d on its socket only.
set -eu
export PGDATA=/var/lib/postgresql/data POSTGRES_USER=postgres PGHOST=/tmp

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    printf '%s' "$POSTGRES_PASSWORD" >/tmp/password
    rm -rf "$PGDATA"
    initdb --pgdata "$PGDATA" --username "$POSTGRES_USER" --pwfile /tmp/password --encoding UTF8 --locale C.UTF-8 \
        --auth-local trust --auth-host scram-sha-256 >/dev/null
    rm /tmp/password
    echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
    pg_ctl --silent --wait -o "-c listen_addresses= -c unix_socket_directories=$PGHOST" start
    for script in /docker-entrypoint-initdb.d/*.sh; do sh "$script"; done
    pg_ctl --silent --wait --mode fast stop
fi
exec "$@" -c listen_addresses='*' -c unix_socket_directories="$PGHOST"
