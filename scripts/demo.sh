#!/usr/bin/env bash
# A conversation about a rendered video with the shipped checkpoint; leaves pictures in outputs/demo.
# Usage: scripts/demo.sh [ARGUMENTS OF `sama demo`]     CPU is enough: under a minute on 2 cores once installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/setup.sh host
exec sama demo "$@"
