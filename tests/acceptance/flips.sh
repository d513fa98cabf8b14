#!/usr/bin/env bash
# Harms to data directories: bits, sectors, blocks and files of the journal, its tables and the spool, in a directory that an orderly end or a kill left, and under
# a broker that runs on it with most messages on the disk alone. Nothing altered, nothing lost but what was hit and is told, nothing ends by itself.
#   tests/acceptance/flips.sh [N [FIRST]]        N harms (60); each has a number, from FIRST (0) on
#   tests/acceptance/flips.sh control            builds a broker with planted bugs, and turns each verdict red
# SEED (7) is of all draws, JOBS (one a core) of them run at a time. Needs python3. Exit 1: some did not hold; their lines say what.
. "$(dirname "$0")/broker.sh"
if [ "${1:-}" = control ]; then
    cargo build --quiet --package postrider --features plant
    BINARY=$(realpath target/debug/postrider) WORK=$work python3 tests/acceptance/hostile/control.py
    exit
fi
BINARY=$(realpath "$binary") WORK=$work python3 tests/acceptance/hostile/flips.py "${1:-60}" "${2:-0}"
