#!/usr/bin/env bash
# A hundred connections that do their worst (half frames, readers that do not read, crowds of consumers, patterns, long names, temporary
# destinations, browsers, floods, storms, garbage) beside a quiet one with 100 messages a second.
#   tests/acceptance/worst.sh [small|whole]
# Exit 1: a message of the quiet one was refused or lost, its p99 is above 20 ms (P99_MILLIS) in most of three rounds, or memory is above the
# what docs/operating.md says that it comes to ("What bounds memory"). Needs root (priorities) and python3. The data
# lies in memory (WORK): how long the disk takes is not the question.
[ -n "${WORK:-}" ] || [ ! -w /dev/shm ] || export WORK=/dev/shm
. "$(dirname "$0")/broker.sh"
BINARY=$(realpath "$binary") WORK=$work python3 tests/acceptance/hostile/worst.py "${1:-small}"
