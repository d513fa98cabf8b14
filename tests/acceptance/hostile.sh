#!/usr/bin/env bash
# Hostile clients and faults from outside against the real process: full and small disks, reads that fail, rotten bits, crowds, half frames.
#   tests/acceptance/hostile.sh [small|whole] [ATTACK...]        (small, all of them; hostile/run.py lists them)
#   tests/acceptance/hostile.sh control [ATTACK...]              builds a broker with planted bugs, and sees that they fail these attacks
# Needs root (loop mounts), python3 and strace. Exit 1: one of them found something; its line says what.
. "$(dirname "$0")/broker.sh"
command -v strace >/dev/null || apt-get install -qy strace >/dev/null
[ $# -gt 0 ] || set -- small
if [ "$1" = control ]; then
    cargo build --quiet --package postrider --features plant
    binary=target/debug/postrider
fi
BINARY=$(realpath "$binary") WORK=$work python3 tests/acceptance/hostile/run.py "$@"
