#!/usr/bin/env bash
# Debian packages that the Makefile needs, installed where they are missing.
#   debian.sh venv      Python's venv module
#   debian.sh browser   Chromium and fonts with Chinese characters, for the browser tests
#   debian.sh web       nginx for the tests of deploy/, unpacked into .venv/nginx: nothing is installed or started
set -euo pipefail
cd "$(dirname "$0")"

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; return; fi
  command -v sudo >/dev/null || { echo "请以 root 运行: $*" >&2; exit 1; }
  sudo "$@"
}

install_missing() {
  [ $# -eq 0 ] && return
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

unpack() { # folder, packages
  local into=$1
  shift
  work=$(mktemp -d) # not local: the trap reads it at the end
  trap 'rm -rf "$work"' EXIT
  download() { (cd "$work" && apt-get download -qq -o APT::Sandbox::User="$(id -un)" "$@"); }
  download "$@" 2>/dev/null || { as_root apt-get update -qq && download "$@"; } # the lists may be missing or old
  for package in "$work"/*.deb; do dpkg -x "$package" "$work/tree"; done
  mv "$work/tree" "$into"
}

case "${1:-}" in
  venv) install_missing python3.11-venv ;;
  browser)
    need=()
    command -v chromium >/dev/null || need+=(chromium)
    fc-list 2>/dev/null | grep -q "Noto Sans CJK" || need+=(fonts-noto-cjk fontconfig)
    install_missing "${need[@]}"
    ;;
  web) [ -x /usr/sbin/nginx ] || [ -x .venv/nginx/usr/sbin/nginx ] || unpack .venv/nginx nginx nginx-common ;;
  *) echo "用法: $0 venv|browser|web" >&2; exit 2 ;;
esac
