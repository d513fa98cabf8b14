#!/usr/bin/env bash
# Persistent messages at full load, 64 sends in flight a producer, as many consumers as producers, 4 queues, io_uring: system calls a
# message.
#   tests/acceptance/system-calls.sh [SECONDS] [PRODUCERS]        (10 16)
# Sixteen producers are what it takes to load two cores; with four the disk sets the pace, and threads sleep between its answers.
# By the broker's counters (calls for the network, and one for each sync), then all calls, which has the wake-ups between threads as
# well: by perf, or by strace, which slows the broker down. Exit 1: not fewer than 0.05 by either.
. "$(dirname "$0")/broker.sh"
seconds=${1:-10} producers=${2:-16}
if perf stat -e raw_syscalls:sys_enter true >/dev/null 2>&1; then
    watcher=perf
else
    watcher=strace
    command -v strace >/dev/null || apt-get install -qy strace >/dev/null
fi

load() {
    bench --producers "$producers" --consumers "$producers" --destinations 4 --size 256 --window 64 --seconds "$1" --json >"$work/bench.json" 2>"$work/bench.log" ||
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

watch() {
    local names=io_uring_enter,futex,write,pwritev2
    case $watcher in
        perf) exec perf stat -x ' ' -e "raw_syscalls:sys_enter,syscalls:sys_enter_${names//,/,syscalls:sys_enter_}" -o "$work/calls" -p "$broker" ;;
        strace) exec strace -c -f -q -o "$work/calls" -U calls,name -p "$broker" ;;
    esac
}
sample; before=$counters
watch &
watching=$!
started+=("$watching")
sleep 1
load 5
kill -INT "$watching"; wait "$watching" 2>/dev/null || true
sample; after=$counters
messages=$(grown published)
calls=$(awk '/raw_syscalls|total/ {print $1}' "$work/calls")
echo "$watcher: $calls calls for $messages messages: $(ratio "$calls" "$messages")"
awk -v messages="$messages" '$1 + 0 > 0 && $2 !~ /raw|total/ {sub(/.*sys_enter_/, "", $2); printf "  %s %.4f\n", $2, $1 / messages}' "$work/calls" | head -6
check "$calls" "$messages"
echo "system calls: $verdict"
[ "$verdict" = passed ]
