#!/usr/bin/env bash
# Kills the broker under load from the Java client, KILLS times with each storage and each of four loads: what was receipted is there,
# unaltered, nothing is invented, and what had been dispatched comes back marked; each transaction is whole or not there; durable
# subscribers get what was answered; and between PREPARE and COMMIT `recover` lists exactly what is prepared.
#   tests/acceptance/kills.sh [KILLS] [STORAGE...]            (300 direct mapped)
# SEED repeats the random choices of an earlier run. Exit 1: a run failed; its directory is kept.
set -euo pipefail
cd "$(dirname "$0")/../.."
kills=${1:-300}
shift || true
[ $# -gt 0 ] || set -- direct mapped
binary=${BINARY:-target/release/postrider}
loads=KillTest,TransactionTest#eachMessageIsInOneQueueWhateverIsKilled
loads+=,DurableSubscriptionTest#eachGetsAllThatWasAnsweredWhateverIsKilled,XaTest#recoverListsExactlyWhatWasPrepared
verdict=passed
for storage in "$@"; do
    output=$(tests/interop/run.sh --binary "$binary" --tests "$loads" --kills "$kills" ${SEED:+--seed "$SEED"} --keep --args "--storage $storage ${BROKER_ARGS:-}" 2>&1) &&
        result=passed || { result=FAILED verdict=FAILED; tail -80 <<<"$output"; }
    directory=$(sed -n 's/.*run.sh: kept //p' <<<"$output")
    [ "$result" = FAILED ] || [ -z "$directory" ] || rm -rf "$directory"
    grep -o '\[kills\].*' <<<"$output" || true
    echo "$storage, $kills kills: $result ($(grep -o '[0-9]* tests run.*' <<<"$output"))"
done
echo "kills: $verdict"
[ "$verdict" = passed ]
