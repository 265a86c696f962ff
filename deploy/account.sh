#!/usr/bin/env bash
# The role and the user that the service signs in with. Runs, and may run again, when the cluster answers.
set -euo pipefail
: "${ELASTIC_PASSWORD:?}" "${WENSHENG_ELASTICSEARCH_PASSWORD:?}"
url=${ELASTICSEARCH_URL:-https://es-1:9200} ca=${CA_FILE:-/ca/ca.crt} role=${ROLE_FILE:-/elasticsearch-role.json}

put() { # path, body on standard input
  # The password comes in a file of its own: a command line can be read by everybody on the machine.
  curl --silent --show-error --fail-with-body --cacert "$ca" \
    --config <(printf 'user = "elastic:%s"\n' "$ELASTIC_PASSWORD") \
    --request PUT --header 'Content-Type: application/json' --data-binary @- "$url/$1"
  echo
}

put _security/role/wensheng < "$role"
printf '{"roles": ["wensheng"], "password": "%s"}' "$WENSHENG_ELASTICSEARCH_PASSWORD" | put _security/user/wensheng
