#!/usr/bin/env bash
# Makes what is missing: a certificate authority, a certificate for each Elasticsearch node, one for the dashboard.
# Runs once, as root, in Elasticsearch's image, before the nodes start.
#   /certs      volume of the nodes: ca/, es-1/, es-2/, es-3/     /ca    volume with ca.crt alone, for the service
#   /tls        deploy/tls: server.crt and server.key of the dashboard; put your own there and they stay
set -euo pipefail
umask 027
certs=${CERTS:-/certs} ca=${CA:-/ca} tls=${TLS:-/tls} snapshots=${SNAPSHOTS:-/snapshots}

if [ ! -f "$certs/ca/ca.crt" ]; then
  rm -f "$certs/ca.zip" # of a run that was cut off: certutil overwrites nothing
  elasticsearch-certutil ca --silent --pem --days 3650 --out "$certs/ca.zip"
  unzip -q -o "$certs/ca.zip" -d "$certs" && rm "$certs/ca.zip"
fi

make_certificate() { # name, DNS names
  [ -f "$certs/$1/$1.crt" ] && return
  rm -f "$certs/$1.zip"
  elasticsearch-certutil cert --silent --pem --days 1095 --name "$1" --dns "$2" --ip 127.0.0.1 \
    --ca-cert "$certs/ca/ca.crt" --ca-key "$certs/ca/ca.key" --out "$certs/$1.zip"
  unzip -q -o "$certs/$1.zip" -d "$certs" && rm "$certs/$1.zip"
}

for node in es-1 es-2 es-3; do make_certificate "$node" "$node,localhost"; done
if [ ! -f "$tls/server.crt" ]; then
  make_certificate web "${WEB_NAME:-localhost},localhost"
  install -m 644 "$certs/web/web.crt" "$tls/server.crt"
  install -m 600 "$certs/web/web.key" "$tls/server.key"
fi

# Elasticsearch runs as user 1000 of group 0.
chown -R root:0 "$certs" && chmod -R u=rwX,g=rX,o= "$certs"
chown 1000:0 "$snapshots"
install -m 644 "$certs/ca/ca.crt" "$ca/ca.crt"
chmod 755 "$ca"
