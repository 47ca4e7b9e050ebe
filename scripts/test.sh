#!/usr/bin/env bash
# Everything CI runs: set-up, lint, format, types, tests. Needs 2 cores, 4 GB of memory, no GPU, no weights.
# Usage: scripts/test.sh [PYTEST ARGUMENTS]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/setup.sh host,train,eval,annotate,caption,quant,web,dev
# It asks for opencv-python, which would lie over the headless one; what else it needs is there.
python -c 'import vos_benchmark' 2>/dev/null || python -m pip install --quiet --no-deps 'vos-benchmark>=0.1,<0.2'
export HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false DS_ACCELERATOR=cpu
python -m ruff check .
python -m ruff format --check .
python -m mypy
python -m pytest "$@"
