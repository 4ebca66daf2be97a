#!/bin/sh
# Brings the databases of Temporal in PostgreSQL, and the visibility index in Elasticsearch or OpenSearch, to the schema of this version of Temporal.
# Each step may be repeated. The environment has the variables of temporal-server.yaml. The databases must exist, unless CREATE_DATABASES is true;
# then the user needs the right CREATEDB.
set -eu

export SQL_PLUGIN=postgres12 SQL_HOST="$POSTGRES_SEEDS" SQL_PORT="${DB_PORT:-5432}" SQL_USER="$POSTGRES_USER" SQL_PASSWORD="${POSTGRES_PWD:-}"
if [ "${SQL_TLS_ENABLED:-false}" = true ]; then
  export SQL_TLS=true SQL_TLS_CA_FILE="${SQL_CA:-}" SQL_TLS_SERVER_NAME="${SQL_HOST_NAME:-}"
  if [ "${SQL_HOST_VERIFICATION:-true}" != true ]; then export SQL_TLS_DISABLE_HOST_VERIFICATION=true; fi
fi

update_database() { # DATABASE SCHEMA
  if [ "${CREATE_DATABASES:-false}" = true ]; then
    echo "PostgreSQL database $1: create it unless it exists"
    temporal-sql-tool --database "$1" create-database
  fi
  echo "PostgreSQL database $1: update the schema"
  # Version 0.0 creates the table of versions. On a database that has a version, it changes nothing.
  temporal-sql-tool --database "$1" setup-schema --version 0.0
  temporal-sql-tool --database "$1" update-schema --schema-name "postgresql/v12/$2"
}

update_database "${DBNAME:-temporal}" temporal
if [ "${ENABLE_ES:-false}" != true ]; then
  update_database "${VISIBILITY_DBNAME:-temporal_visibility}" visibility
else
  index="${ES_VIS_INDEX:-temporal_visibility_v1}"
  export ES_SERVER="${ES_SCHEME:-http}://$ES_SEEDS:${ES_PORT:-9200}" ES_USER="${ES_USER:-}" ES_PWD="${ES_PWD:-}"
  if [ -n "${ES_CA:-}" ]; then export ES_TLS=true ES_TLS_CA_FILE="$ES_CA"; fi
  echo "Index $index at $ES_SEEDS: update the template, create the index unless it exists, update its mappings"
  temporal-elasticsearch-tool setup-schema
  temporal-elasticsearch-tool create-index --index "$index"
  temporal-elasticsearch-tool update-schema --index "$index"
fi
echo "The schema is up to date"
