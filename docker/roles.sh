#!/bin/sh
# Run by the PostgreSQL image once, on an empty volume: the owner's role and database, and the role that nodes use.
set -eu
psql --no-psqlrc --quiet --username "$POSTGRES_USER" --dbname postgres --set ON_ERROR_STOP=1 \
    --set owner_password="$SWARMEX_DATABASE_PASSWORD" --set node_password="$SWARMEX_NODE_DATABASE_PASSWORD" <<'SQL'
CREATE ROLE swarmex LOGIN CREATEROLE PASSWORD :'owner_password';
CREATE DATABASE swarmex OWNER swarmex ENCODING 'UTF8' TEMPLATE template0;
CREATE ROLE swarmex_node LOGIN PASSWORD :'node_password';
SQL
