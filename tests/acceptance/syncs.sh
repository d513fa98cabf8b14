#!/usr/bin/env bash
# Sixteen producers one at a time: how many syncs for how many receipts, by the broker's counter; and whether strace sees as many.
#   tests/acceptance/syncs.sh [SECONDS]               (10)
# Exit 1: more than a quarter, or the counter is not what strace saw.
. "$(dirname "$0")/broker.sh"
seconds=${1:-10}
command -v strace >/dev/null || apt-get install -qy strace >/dev/null

load() {
    bench --producers 16 --consumers 4 --destinations 4 --size 256 --window 1 --seconds "$1" --json >"$work/bench.json" 2>"$work/bench.log" ||
        { echo "the load failed:"; cat "$work/bench.json" "$work/bench.log"; exit 1; }
}
# A call during which another thread was traced fills two lines; only the first has its arguments. The syncs of files that are made
# ready (fsync) are not the journal's.
traced() { grep -v 'resumed>' "$work/trace" | grep -c 'RWF_DSYNC\|MS_SYNC' || true; }
syncs_of() { echo $(($(counter syncs "$2") - $(counter syncs "$1"))); }

serve --io epoll
load 1
sample; before=$counters
load "$seconds"
sample; after=$counters
syncs=$(syncs_of "$before" "$after")
receipts=$(($(counter published "$after") - $(counter published "$before")))
echo "$syncs syncs for $receipts receipts: one for $(awk "BEGIN {printf \"%.1f\", $receipts / $syncs}")"

strace -f -q -e trace=pwritev2,fdatasync,fsync,msync -o "$work/trace" -p "$broker" &
tracer=$!
started+=("$tracer")
sleep 1
sample; before=$counters traced=$(traced)
load 3
sample; after=$counters
kill -INT "$tracer"; wait "$tracer" 2>/dev/null || true
counted=$(syncs_of "$before" "$after")
seen=$(($(traced) - traced))
echo "under strace: the counter says $counted, strace $seen"

verdict=passed
[ $((syncs * 4)) -le "$receipts" ] || { echo "more than one sync for four receipts"; verdict=FAILED; }
[ "$counted" -eq "$seen" ] || { echo "the counter is not what strace saw"; verdict=FAILED; }
echo "syncs: $verdict"
[ "$verdict" = passed ]
