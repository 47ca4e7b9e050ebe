#!/usr/bin/env bash
# Makes an environment in which the package runs. To be sourced: `source scripts/setup.sh EXTRAS`, such as host,dev.
# Uses the active virtual environment, else .venv in the repository, made if need be.
# Needs Python >= 3.10 and a package index; 6 GB of disk for torch. The second time it only looks at a stamp.

sama_say() { printf '[setup] %s\n' "$*" >&2; }

# sama_step WORDS COMMAND...: one line of progress; the command's output goes to a log, shown if it fails.
sama_step() {
  local words=$1 log="$VIRTUAL_ENV/sama-setup.log" start=$SECONDS
  shift
  sama_say "$words ..."
  if ! "$@" >"$log" 2>&1 </dev/null; then
    sama_say "failed: $*"
    tail -n 30 "$log" >&2
    sama_say "the whole log: $log"
    return 1
  fi
  sama_say "$words: done in $((SECONDS - start)) s"
}

sama_setup() {
  local root extras=${1:-host,eval} stamp python=${PYTHON:-python3}
  # Sourced without an argument, "$@" would be the caller's own.
  if [[ ! $extras =~ ^[a-z,]+$ ]]; then
    sama_say "not a list of extras: '$extras'; usage: source scripts/setup.sh host,dev"
    return 1
  fi
  root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd) || return 1
  if [ -z "${VIRTUAL_ENV:-}" ]; then
    if [ ! -x "$root/.venv/bin/python" ]; then
      "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || {
        sama_say "Python 3.10 or newer is needed, $python is $("$python" --version 2>&1); set PYTHON=path/to/python3"
        return 1
      }
      sama_say "making $root/.venv"
      "$python" -m venv "$root/.venv" >&2 || {
        sama_say "$python -m venv failed; install the venv module of your Python (often the package python3-venv)"
        return 1
      }
    fi
    # shellcheck disable=SC1091
    source "$root/.venv/bin/activate" || return 1
  fi

  stamp="$VIRTUAL_ENV/.sama-setup-$(cat "$root/setup.py" "$root/scripts/setup.sh" | cksum | tr ' ' '-')-${extras//,/-}"
  [ -e "$stamp" ] && return 0
  local pip=(python -m pip install --quiet --disable-pip-version-check --progress-bar off)
  # sam2 comes as source and its build imports torch: torch first, then sam2 without build isolation.
  sama_step "build tools" "${pip[@]}" 'setuptools>=64' wheel || return 1
  sama_step "torch" "${pip[@]}" 'torch>=2.5.1' 'torchvision>=0.20.1' || return 1
  sama_step "sam2" env SAM2_BUILD_CUDA=0 "${pip[@]}" --no-build-isolation 'sam2>=1.1,<2' || return 1
  sama_step "sama_plugin[$extras]" "${pip[@]}" --use-pep517 -e "$root[$extras]" || return 1
  : >"$stamp"
}

sama_setup "$@"
