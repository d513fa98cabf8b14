#!/usr/bin/env bash
# Persistent messages at full load, 4 producers with 64 sends in flight, 4 consumers, 4 queues, io_uring: system calls a message.
#   tests/acceptance/system-calls.sh [SECONDS]        (10)
# By the broker's counters (calls for the network, and one for each sync), then by strace, which sees the wake-ups between threads as
# well but slows the broker down. Exit 1: not fewer than 0.05 by either.
. "$(dirname "$0")/broker.sh"
seconds=${1:-10}
command -v strace >/dev/null || apt-get install -qy strace >/dev/null

load() {
    bench --producers 4 --consumers 4 --destinations 4 --size 256 --window 64 --seconds "$1" --json >"$work/bench.json" 2>"$work/bench.log" ||
        { echo "the load failed:"; cat "$work/bench.json" "$work/bench.log"; exit 1; }
}
grown() { echo $(($(counter "$1" "$after") - $(counter "$1" "$before"))); }
ratio() { awk "BEGIN {printf \"%.4f\", $1 / $2}"; }
verdict=passed
check() { awk "BEGIN {exit !($1 / $2 < 0.05)}" || verdict=FAILED; }

serve --io uring
load 2
sample; before=$counters
load "$seconds"
sample; after=$counters
messages=$(grown published) calls=$(($(grown system_calls) + $(grown syncs)))
echo "counters: $(grown system_calls) calls for the network and $(grown syncs) syncs for $messages messages: $(ratio "$calls" "$messages")"
check "$calls" "$messages"

sample; before=$counters
strace -c -f -q -o "$work/trace" -p "$broker" &
tracer=$!
started+=("$tracer")
sleep 1
load 3
kill -INT "$tracer"; wait "$tracer" 2>/dev/null || true
sample; after=$counters
messages=$(grown published) calls=$(awk '$NF == "total" {print $(NF - 1) + 0 == $(NF - 1) && NF == 6 ? $(NF - 2) : $(NF - 1)}' "$work/trace")
echo "strace: $calls calls for $messages messages: $(ratio "$calls" "$messages")"
head -8 "$work/trace"
check "$calls" "$messages"
echo "system calls: $verdict"
[ "$verdict" = passed ]
