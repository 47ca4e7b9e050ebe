#!/usr/bin/env bash
# Everything CI runs: set-up, lint, format, types, tests. Needs 2 cores, 8 GB of memory, no GPU, no weights.
# Usage: scripts/test.sh [PYTEST ARGUMENTS], such as -n 0 for one process, whose output can be followed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/setup.sh host,train,eval,annotate,caption,quant,web,dev
# It asks for opencv-python, which would lie over the headless one; what else it needs is there.
python -c 'import vos_benchmark' 2>/dev/null || python -m pip install --quiet --no-deps 'vos-benchmark>=0.1,<0.2'
export HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false DS_ACCELERATOR=cpu
python -m ruff check .
python -m ruff format --check .
python -m mypy
# A process per core, four at most, since each loads models; files stay whole, as their tests share what they set up.
processes=$(python -c 'import os; print(min(4, os.cpu_count() or 1))')
python -m pytest -n "$processes" --dist loadfile "$@"
