#!/usr/bin/env bash
# Make a small Debian that boots, of this machine's release, from where it gets its packages:
# debian_tree.sh TAR. Python, mosquitto and systemd are in it; a tree that is there is kept.
set -euo pipefail
tar=$1
[ ! -e "$tar" ] || exit 0
here=$(dirname "$0")
for program in mmdebstrap systemd-nspawn; do
    command -v $program >/dev/null || "$here/../apt_install.sh" mmdebstrap systemd-container
done
. /etc/os-release
mkdir -p "$(dirname "$tar")"
shopt -s nullglob
mapfile -t sources < <(grep -l "${VERSION_CODENAME:?is this a Debian?}" \
    /etc/apt/sources.list /etc/apt/sources.list.d/*.{sources,list} 2>/dev/null)
mmdebstrap --variant=minbase --format=tar \
    --include=systemd,systemd-sysv,dbus,python3,mosquitto \
    "$VERSION_CODENAME" "$tar.new" "${sources[@]}"
mv "$tar.new" "$tar"
