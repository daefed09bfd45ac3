#!/usr/bin/env bash
# Install Debian packages where this user may, else say what to do: apt_install.sh PACKAGE...
set -euo pipefail

if ! command -v apt-get >/dev/null; then
    echo "Missing: $*. There is no apt-get here; install it with this system's package manager." >&2
    exit 1
fi
if [ "$(id -u)" -eq 0 ]; then
    as_root=()
elif sudo -n true 2>/dev/null; then
    as_root=(sudo -n)
else
    echo "Missing: $*. Install it with: sudo apt-get install $*" >&2
    exit 1
fi

install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive
    apt-get install --yes --quiet --no-install-recommends "$@")
# The package lists of a fresh machine are empty or old: fetch them when they do not suffice.
"${install[@]}" || { "${as_root[@]}" apt-get update --quiet && "${install[@]}"; }
