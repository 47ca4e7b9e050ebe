# Runs `sama train ARGUMENTS` in as many processes as the machine has GPUs (one without); to be sourced.
# Variables: NPROC processes here; NNODES, NODE_RANK, MASTER_ADDR, MASTER_PORT for several machines.

sama_launch() {
  local gpus
  export HF_HUB_OFFLINE=${HF_HUB_OFFLINE:-1} TOKENIZERS_PARALLELISM=false
  gpus=$(python -c 'import torch; print(torch.cuda.device_count())') || return 1
  [ "$gpus" -gt 0 ] || export DS_ACCELERATOR=cpu
  local processes=${NPROC:-$((gpus > 0 ? gpus : 1))} nodes=${NNODES:-1}
  if [ "$processes" -eq 1 ] && [ "$nodes" -eq 1 ]; then
    exec sama train "$@"
  fi
  if [ "$nodes" -gt 1 ] && [ -z "${MASTER_ADDR:-}" ]; then
    printf 'NNODES=%s but no MASTER_ADDR; set it to the address of the machine with NODE_RANK=0\n' "$nodes" >&2
    return 2
  fi
  exec torchrun --nproc_per_node "$processes" --nnodes "$nodes" --node_rank "${NODE_RANK:-0}" \
    --master_addr "${MASTER_ADDR:-127.0.0.1}" --master_port "${MASTER_PORT:-29500}" \
    -m sama_plugin.training.stages "$@"
}

# Lets glibc keep what tensors free instead of handing it back, to be cleared page by page for the next step, and lets it
# use huge pages where they may be asked for; a step on a CPU is shorter by it. One arena, since the threads of the backward
# pass have small ones of their own otherwise. The price: a process does not shrink by itself.
sama_keep_memory() {
  local malloc=glibc.malloc
  export GLIBC_TUNABLES=${GLIBC_TUNABLES:-$malloc.mmap_max=0:$malloc.trim_threshold=17179869184:$malloc.arena_max=1:$malloc.top_pad=268435456:$malloc.hugetlb=1}
}
