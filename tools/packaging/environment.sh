#!/usr/bin/env bash
# Build what is installed under PREFIX, in a folder: environment.sh FOLDER PREFIX PYTHON
# A virtual environment with the locked packages and the agent, the shipped models and the
# documentation. It runs where PYTHON is, once FOLDER stands at PREFIX. The same sources give the
# same bytes: no path of the building machine, no time, no pip is left in it.
set -euo pipefail
folder=$(realpath -m "$1") prefix=$2 python=$3
cd "$(dirname "$0")/../.."
export PYTHONHASHSEED=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_COMPILE=1 PIP_ROOT_USER_ACTION=ignore

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    { echo "$python is older than 3.11." >&2; exit 1; }
# Debian parts the venv module from Python.
"$python" -c 'import ensurepip, venv' 2>/dev/null || tools/apt_install.sh python3-venv
rm -rf "$folder" build/lib build/bdist.*  # what an older build left would be packed, too
"$python" -m venv "$folder"
"$folder/bin/python" -m pip install --quiet --require-hashes --requirement requirements.lock
"$folder/bin/python" -m pip install --quiet --no-deps --no-build-isolation .
rm -rf build/lib build/bdist.* ./*.egg-info
"$folder/bin/python" -m pip uninstall --quiet --yes setuptools
"$folder/bin/python" -m pip uninstall --quiet --yes pip

# Whoever installs owns these files: no list of pip's, no word on where they were built.
find "$folder" \( -name RECORD -o -name direct_url.json -o -name INSTALLER -o -name REQUESTED \) \
    -path '*.dist-info/*' -delete
# Of the programs, those of other packages are not meant for a gateway.
find "$folder/bin" ! -type d ! -name 'python*' ! -name edge-agent -delete
rm -rf "$folder/include" "$folder/share/man"
find "$folder/bin" -type f -exec sed -i "1s|^#!$folder/|#!$prefix/|" {} +
sed -i "/^command = /d" "$folder/pyvenv.cfg"

cp -r models "$folder/models"
mkdir -p "$folder/share"
cp -r docs "$folder/share/doc"
cp README.md CHANGELOG.md LICENSE NOTICE "$folder/share/doc/"

# The service may not write here: its bytecode is made now, and never compared with dates of files.
find "$folder" -name __pycache__ -prune -exec rm -rf {} +
"$folder/bin/python" -m compileall -q -j 0 --invalidation-mode unchecked-hash \
    -s "$folder" -p "$prefix" "$folder/lib"
if grep -rIl --exclude-dir=doc "$folder" "$folder" >&2; then
    echo "These files name the folder they were built in." >&2
    exit 1
fi
chmod -R u=rwX,go=rX "$folder"
