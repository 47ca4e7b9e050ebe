#!/usr/bin/env bash
# First stage: everything of SAMA under mm_projector learns, the LLM rests (sama_plugin/training/stages.py).
# Usage: scripts/pretrain_sama.sh 0.5b|7b --start DIR --data YAML --root DIR --out DIR [any flag of the host's script]
#        scripts/pretrain_sama.sh 0.5b|7b --plan [FLAGS]       what a step costs, counted in seconds on any machine
#
# --start  a SAMA folder made of a LLaVA checkpoint: sama convert LLAVA_FOLDER DIR --sam2 sam2.1_hiera_large.pt
# --data   a mixture file, see data_configs/; --root the folder its paths are relative to
#
# Memory and compute: --plan --mm_tunable_parts mm_mlp_adapter prints them for any number of GPUs; hours were not
# measured. Processes: NPROC (default: the GPUs of the machine), NNODES, NODE_RANK, MASTER_ADDR, MASTER_PORT.
# Run again with the same flags, it goes on from the last whole checkpoint. Smallest CPU run, with a tiny start:
#   scripts/pretrain_sama.sh 0.5b --start TINY --data YAML --root DIR --out DIR --use_cpu True --bf16 False --max_steps 2
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
case "${1:-} ${2:-}" in
  "0.5b --"* | "7b --"*) preset=$1 && shift ;;
  *)
    printf "pretrain_sama.sh: got '%s', expected '0.5b' or '7b', then flags; the tiny preset trains all its stages by %s\n" \
      "${1:-}" "scripts/finetune_sama.sh tiny" >&2
    exit 2
    ;;
esac
source "$here"/setup.sh host,train
source "$here"/launch.sh
case " $* " in
  *" --plan "*) sama_launch "$preset" --mm_tunable_parts mm_mlp_adapter "$@" ;;
  *) sama_launch "$preset" pretrain "$@" ;;
esac
