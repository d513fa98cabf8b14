#!/usr/bin/env bash
# The Java client's volume test with each network driver and with 1 and 2 cores: MESSAGES persistent and as many non-persistent ones
# over a queue and over a topic, 4 producers, 4 consumers; none lost, none duplicated, order kept.
#   tests/acceptance/volume.sh [MESSAGES] [DRIVER...]         (100000 uring epoll tokio-uring)
# Exit 1: a run failed.
set -euo pipefail
cd "$(dirname "$0")/../.."
messages=${1:-100000}
shift || true
[ $# -gt 0 ] || set -- uring epoll tokio-uring
binary=${BINARY:-target/release/postrider}
verdict=passed
for driver in "$@"; do
    for cores in 1 2; do
        output=$(tests/interop/run.sh --binary "$binary" --tests VolumeTest --volume "$messages" --args "--io $driver --cores $cores ${BROKER_ARGS:-}" 2>&1) &&
            result=passed || { result=FAILED verdict=FAILED; tail -60 <<<"$output"; }
        echo "$driver, $cores core(s), $messages messages of each kind: $result ($(grep -o '[0-9]* tests run.*' <<<"$output"))"
    done
done
echo "volume: $verdict"
[ "$verdict" = passed ]
