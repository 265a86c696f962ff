#!/usr/bin/env bash
# Debian packages that the Makefile needs, installed where they are missing.
#   debian.sh venv      Python's venv module
#   debian.sh browser   Chromium and fonts with Chinese characters, for the browser tests
set -euo pipefail

need=()
case "${1:-}" in
  venv) need=(python3.11-venv) ;;
  browser)
    command -v chromium >/dev/null || need+=(chromium)
    fc-list 2>/dev/null | grep -q "Noto Sans CJK" || need+=(fonts-noto-cjk fontconfig)
    ;;
  *) echo "用法: $0 venv|browser" >&2; exit 2 ;;
esac
[ ${#need[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "请以 root 运行: apt-get install ${need[*]}" >&2; exit 1; }
  as_root=(sudo)
fi
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${need[@]}" >/dev/null
