#!/usr/bin/env bash
# Make an environment of the model tools: training_environment.sh FOLDER PYTHON3.11 train|keras
# Says why where it cannot be made, and leaves nothing that looks complete.
set -euo pipefail
folder=$1 python=$2 kind=$3
case $kind in
    train) needed_gb=4 imports='ai_edge_quantizer, litert_torch, onnx, torch, torch_pruning' ;;
    keras) needed_gb=4 imports='ai_edge_quantizer, tensorflow, tensorflow_model_optimization, tf_keras' ;;
esac

if [ -z "$python" ]; then
    echo "The model tools need Python 3.11: their converters have no wheels for other versions." >&2
    exit 1
fi
if [ ! -d "$folder" ]; then
    free_gb=$(df --output=avail --block-size=1G "$(dirname "$folder")" | tail -n 1)
    if [ "$free_gb" -lt "$needed_gb" ]; then  # while pip unpacks; some 2.5 of them stay
        echo "$folder needs $needed_gb GB of disk; $free_gb GB are free." >&2
        exit 1
    fi
fi
echo "Setting up $folder: some 2 GB and minutes, the first time and when what it holds has changed."
# Debian parts the venv module from Python; without it, what venv left is of no use.
"$python" -c 'import ensurepip, venv' 2>/dev/null || tools/apt_install.sh python3-venv
# From nothing: over an older environment pip would complain of what it is about to put right.
"$python" -m venv --clear "$folder"
install() { "$folder/bin/python" -m pip install --quiet "$@"; }
# The agent's own packages as locked, then the rest, each by name: see the requirements.
install --require-hashes --requirement requirements-dev.lock
install --no-deps --requirement "tools/requirements-$kind.txt"
# They print pages of what they are not; that matters only where one of them cannot be imported.
said=$("$folder/bin/python" -c "import $imports" 2>&1) || { echo "$said" >&2; exit 1; }
