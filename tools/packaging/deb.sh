#!/usr/bin/env bash
# Make a Debian package of a built environment: deb.sh FOLDER PREFIX OUTPUT_FOLDER
# Prints its name and size. The same sources give the same package: times are those of the last
# commit, or SOURCE_DATE_EPOCH.
set -euo pipefail
folder=$(realpath "$1") prefix=$2 output=$(realpath -m "$3")
cd "$(dirname "$0")/../.."
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
chmod 755 "$stage"

python=$(readlink -f "$folder/bin/python")
minor=$("$python" -c 'import sys; print(sys.version_info.minor)')
version=$("$folder/bin/python" -c 'import edge_agent; print(edge_agent.__version__)')
architecture=$(dpkg --print-architecture)
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y edge_agent/__init__.py)}
export SOURCE_DATE_EPOCH=$epoch

tools/packaging/install.sh "$folder" "$stage" "$prefix"
mkdir -p "$stage/DEBIAN" "$stage/usr/share/doc/edge-agent"
cp LICENSE "$stage/usr/share/doc/edge-agent/copyright"
install -m 755 tools/packaging/{postinst,prerm,postrm} "$stage/DEBIAN/"
sed -i "s|/opt/edge-agent|$prefix|g" "$stage"/DEBIAN/p*
echo /etc/edge-agent/config.toml >"$stage/DEBIAN/conffiles"
cat >"$stage/DEBIAN/control" <<CONTROL
Package: edge-agent
Version: $version
Architecture: $architecture
Maintainer: The Edge Agent authors <edge-agent@localhost>
Installed-Size: $(du -sk --exclude=DEBIAN "$stage" | cut -f 1)
Depends: python3 (>= 3.$minor~), python3 (<< 3.$((minor + 1))~), libc6 (>= 2.28), libstdc++6, systemd (>= 250)
Recommends: mosquitto
Section: misc
Priority: optional
Description: inspects camera and sensor streams and publishes verdicts over MQTT
 Runs quantised TensorFlow Lite and ONNX models on a factory gateway, on the CPU,
 and publishes a verdict for every part and every window of samples.
CONTROL

find "$stage" -exec touch --no-dereference --date "@$epoch" {} +
mkdir -p "$output"
package=$output/edge-agent_${version}_$architecture.deb
dpkg-deb --root-owner-group -Zzstd -z10 --build "$stage" "$package" >/dev/null
echo "$package: $(($(stat -c %s "$package") / 1000000)) MB, $(($(du -sm "$stage" | cut -f 1))) MB installed"
