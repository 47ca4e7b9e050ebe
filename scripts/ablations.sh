#!/usr/bin/env bash
# The paper's ablations in small: scripts/ablations.sh [--tiny DIR] [--out DIR] [any flag of the host's script]
#
# Trains four arms for the same steps (--talk-steps, --clips-steps) and seeds (--seeds, --seed) from the same
# foundations, tests each on 60 unseen videos of the small world, and writes ablations.md and ablations.png under --out
# (see sama_plugin/training/ablations.py). In one process, on a GPU where there is one. --tiny: folder of
# `scripts/finetune_sama.sh tiny`; the stages before `talk` are made there where they are not. Every stage is skipped when
# it is done and goes on where it was when it is not. Needs torch 2.9 or newer. Smallest run, worthless but whole:
#   scripts/ablations.sh --videos 12 --scale 0.003 --talk-steps 2 --clips-steps 1 --test-videos 1
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
source "$here"/setup.sh host,train,eval
source "$here"/launch.sh
sama_keep_memory
export HF_HUB_OFFLINE=${HF_HUB_OFFLINE:-1} TOKENIZERS_PARALLELISM=false DS_ACCELERATOR=${DS_ACCELERATOR:-cpu}
exec python -m sama_plugin.training.ablations "$@"
