#!/usr/bin/env bash
# Trains SAMA: scripts/finetune_sama.sh tiny [--out DIR] [--scale F] [any flag of the host's training script]
#              scripts/finetune_sama.sh 0.5b|7b --plan [--gpus N] [--lora_r R] [--sam2 NAME]
#
# tiny   the checkpoint that ships, from nothing, on CPU in one process: renders 3,000 videos of the small world, then
#        SAM2, tower, words, context, talk, clips (see sama_plugin/training/tiny.py). 2 cores, no GPU; every stage is
#        skipped when it is done and goes on where it was when it is not. The whole recipe has not been timed in one
#        run. Smallest run, 100 s, worthless but whole: --videos 12 --scale 0.003
#
# 0.5b, 7b   with --plan: parameters, tokens, FLOPs and memory per GPU of a step, counted on the meta device in a few
#        seconds on any machine (see sama_plugin/training/plan.py).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
preset=${1:-}
[ $# -gt 0 ] && shift
case "$preset ${1:-}" in
  "tiny "*) extras=host,train,eval ;;
  "0.5b --plan" | "7b --plan") extras=host ;;
  *)
    printf "finetune_sama.sh: got '%s', expected 'tiny', '0.5b --plan' or '7b --plan'; other starts: %s\n" \
      "$preset${1:+ $1}" "sama train -- HOST_FLAGS" >&2
    exit 2
    ;;
esac
source scripts/setup.sh "$extras"
export HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
python -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' || export DS_ACCELERATOR=cpu
exec sama train "$preset" "$@"
