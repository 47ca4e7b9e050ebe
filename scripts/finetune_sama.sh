#!/usr/bin/env bash
# Trains SAMA: scripts/finetune_sama.sh tiny [--out DIR] [--scale F] [any flag of the host's training script]
#              scripts/finetune_sama.sh 0.5b|7b --start DIR --data YAML --root DIR --out DIR [any such flag]
#              scripts/finetune_sama.sh 0.5b|7b --plan [--gpus N] [--lora_r R] [--sam2 NAME]
#
# tiny   a checkpoint of the size that ships, from nothing, in one process: renders 12,500 videos of the small world,
#        then SAM2, tower, words, context, talk, joint (see sama_plugin/training/tiny.py). On a GPU where there is one,
#        else on CPU; --workers: processes that render and read. Every stage is skipped when it is done and goes on where
#        it was when it is not. Needs torch 2.9 or newer. On 2 CPU cores it took 363 minutes, and what it made is not as
#        good as the checkpoint that ships (README, Training). Smallest run, worthless but whole:
#        --videos 12 --scale 0.003
#
# 0.5b, 7b   the second stage, LLM and SAMA's parts (sama_plugin/training/stages.py), from what pretrain_sama.sh or
#        `sama convert` wrote. --lora_enable True --lora_r 128 --lora_alpha 256 trains the LLM by LoRA (on LLaVA-NeXT
#        itself). Processes: NPROC (default: the GPUs of the machine), NNODES, NODE_RANK, MASTER_ADDR, MASTER_PORT.
#        --plan: parameters, tokens, FLOPs and memory per GPU of a step, counted on the meta device in a few seconds on
#        any machine (see sama_plugin/training/plan.py); hours were not measured. Smallest CPU run, with a tiny start:
#        ... --use_cpu True --bf16 False --max_steps 2
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
preset=${1:-}
[ $# -gt 0 ] && shift
case "$preset ${1:-}" in
  "tiny "*) extras=host,train,eval ;;
  "0.5b --"* | "7b --"*) extras=host,train ;;
  *)
    printf "finetune_sama.sh: got '%s', expected 'tiny', '0.5b' or '7b', the latter with flags; other starts: %s\n" \
      "$preset${1:+ $1}" "sama train -- HOST_FLAGS" >&2
    exit 2
    ;;
esac
source "$here"/setup.sh "$extras"
source "$here"/launch.sh
[ "$preset" != tiny ] || sama_keep_memory
case "$preset $*" in
  tiny* | *"--plan"*) NPROC=1 NNODES=1 sama_launch "$preset" "$@" ;;
  *) sama_launch "$preset" finetune "$@" ;;
esac
