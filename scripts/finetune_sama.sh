#!/usr/bin/env bash
# Trains SAMA: scripts/finetune_sama.sh tiny [--out DIR] [--scale F] [any flag of the host's training script]
#
# tiny   the checkpoint that ships, from nothing, on CPU in one process: renders 3,000 videos of the small world, then
#        SAM2, tower, words, context, talk, clips (see sama_plugin/training/tiny.py). 2 cores, no GPU; every stage is
#        skipped when it is done and goes on where it was when it is not. The whole recipe has not been timed in one
#        run. Smallest run, 77 s, worthless but whole: --videos 12 --scale 0.003
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
preset=${1:-}
[ $# -gt 0 ] && shift
if [ "$preset" != tiny ]; then
  printf "finetune_sama.sh: preset is '%s', expected 'tiny'; other starts: sama train -- HOST_FLAGS\n" "$preset" >&2
  exit 2
fi
source scripts/setup.sh host,train,eval
export HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
python -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' || export DS_ACCELERATOR=cpu
exec sama train tiny "$@"
