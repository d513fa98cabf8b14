#!/usr/bin/env bash
# Bits, sectors and whole files of a stopped directory: nothing altered, nothing lost in silence, no abort.
#   tests/acceptance/flips.sh [N]        N damages (20)
# Needs python3. Exit 1: one of them did not hold; its line says what.
. "$(dirname "$0")/broker.sh"
BINARY=$(realpath "$binary") WORK=$work python3 tests/acceptance/hostile/flips.py "${1:-20}"
