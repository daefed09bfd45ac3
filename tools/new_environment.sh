#!/usr/bin/env bash
# Make or refresh a virtual environment from a lock file: new_environment.sh FOLDER PYTHON LOCK
# Needs nothing but Python's own venv module. An environment whose Python still runs is kept.
set -euo pipefail
folder=$1 python=$2 lock=$3

if [ -z "$python" ]; then
    echo "Python 3.11 or later is needed; none is on PATH." >&2
    exit 1
fi
if ! "$folder/bin/python" -c '' 2>/dev/null; then
    echo "Setting up $folder from $lock: about a minute, the first time only."
    # Debian parts the venv module from Python; without it, what venv left is of no use.
    "$python" -c 'import ensurepip, venv' 2>/dev/null || tools/apt_install.sh python3-venv
    "$python" -m venv --clear "$folder"
fi
"$folder/bin/python" -m pip install --quiet --require-hashes --requirement "$lock"
"$folder/bin/python" -m pip install --quiet --no-deps --no-build-isolation --editable .
