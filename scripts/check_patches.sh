#!/usr/bin/env bash
# Says for every patch whether it applies to a LLaVA-NeXT checkout, or is applied already. Changes nothing.
# Usage: scripts/check_patches.sh PATH/TO/LLaVA-NeXT        Exit code 1 if one does neither.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
host=${1:?usage: scripts/check_patches.sh PATH/TO/LLaVA-NeXT}
git -C "$host" rev-parse --git-dir >/dev/null
code=0
for patch in "$here"/patches/*.patch; do
  name=$(basename "$patch")
  if git -C "$host" apply --check "$patch" 2>/dev/null; then
    echo "$name: applies"
  elif git -C "$host" apply --check -R "$patch" 2>/dev/null; then
    echo "$name: applied already"
  else
    echo "$name: does not apply to $(git -C "$host" rev-parse --short HEAD):" >&2
    git -C "$host" apply --check "$patch" >&2 || true
    code=1
  fi
done
exit $code
