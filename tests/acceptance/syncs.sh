#!/usr/bin/env bash
# Sixteen producers one at a time: how many syncs for how many receipts, by the broker's counter and by strace.
#   tests/acceptance/syncs.sh [SECONDS]               (10)
# Exit 1: more than a quarter, or the counter is not what strace saw.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-10}
binary=${BINARY:-target/release/postrider}
command -v strace >/dev/null || apt-get install -qy strace >/dev/null
work=$(mktemp -d)
trap 'kill "$broker" 2>/dev/null || true; wait 2>/dev/null; rm -rf "$work"' EXIT
port=$((20000 + RANDOM % 20000))

"$binary" serve --data-dir "$work/data" --listen "openwire://127.0.0.1:$port" --io epoll 2>"$work/broker.log" &
broker=$!
for _ in $(seq 100); do grep -q ' serves ' "$work/broker.log" && break; sleep 0.1; done
counter() { sed -n "s/.* $1=\([0-9]*\).*/\1/p" <<<"$2"; }
counters() { kill -USR1 "$broker"; sleep 0.5; grep 'counters:' "$work/broker.log" | tail -1; }
load() { "$binary" bench "127.0.0.1:$port" --producers 16 --consumers 4 --destinations 4 --size 256 --window 1 --seconds "$1" --json; }

before=$(counters)
load "$seconds" >"$work/bench.json" 2>/dev/null
after=$(counters)
syncs=$(($(counter syncs "$after") - $(counter syncs "$before")))
receipts=$(($(counter published "$after") - $(counter published "$before")))
echo "without strace: $syncs syncs for $receipts receipts"

strace -f -q -e trace=pwritev2,fdatasync,fsync,msync -o "$work/trace" -p "$broker" &
tracer=$!
sleep 1
before=$(counters)
load 3 >/dev/null 2>&1
after=$(counters)
kill "$tracer"; wait "$tracer" 2>/dev/null || true
counted=$(($(counter syncs "$after") - $(counter syncs "$before")))
seen=$(grep -c 'RWF_DSYNC\|fdatasync\|fsync\|msync' "$work/trace" || true)
echo "under strace: counter $counted, strace $seen"
[ $((seen - counted)) -le 5 ] && [ $((counted - seen)) -le 5 ] || { echo "the counter is not what strace saw"; exit 1; }
[ $((syncs * 4)) -le "$receipts" ]
