#!/usr/bin/env bash
# Put a built environment, the unit, its user and a first config in place:
# install.sh FOLDER DESTDIR PREFIX. What is configured already stays as it is.
set -euo pipefail
folder=$(realpath "$1") destdir=${2:+$(realpath -m "$2")} prefix=$3
cd "$(dirname "$0")/../.."
units=$destdir/usr/lib/systemd/system config=$destdir/etc/edge-agent

# Beside the old one, then in its place: at no time is half an agent there.
mkdir -p "$(dirname "$destdir$prefix")" "$destdir/usr/bin"
rm -rf "$destdir$prefix.new" "$destdir$prefix.old"
cp -a "$folder" "$destdir$prefix.new"
[ ! -e "$destdir$prefix" ] || mv "$destdir$prefix" "$destdir$prefix.old"
mv "$destdir$prefix.new" "$destdir$prefix"
rm -rf "$destdir$prefix.old"
ln -sfn "$prefix/bin/edge-agent" "$destdir/usr/bin/edge-agent"

install -D -m 644 systemd/sysusers.conf "$destdir/usr/lib/sysusers.d/edge-agent.conf"
install -D -m 644 /dev/null "$units/edge-agent.service"
sed "s|/opt/edge-agent|$prefix|g" systemd/edge-agent.service >"$units/edge-agent.service"
install -d -m 755 "$config"
install -d -m 700 "$config/credentials"
[ -e "$config/config.toml" ] ||
    sed "s|/opt/edge-agent|$prefix|g" systemd/config.toml >"$config/config.toml"
chmod 644 "$config/config.toml"
