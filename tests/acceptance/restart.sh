#!/usr/bin/env bash
# How long a restart takes on a log that is all live: from exec to the first delivery, beside a plain O_DIRECT read of the same files.
#   tests/acceptance/restart.sh [MIB] [RUNS]          (1024 5)
# Exit 1: slower than 1.5 times the read plus 0.5 s (medians of interleaved runs).
set -euo pipefail
cd "$(dirname "$0")/../.."
mebibytes=${1:-1024} runs=${2:-5}
binary=${BINARY:-target/release/postrider}
work=$(mktemp -d -p "${WORK:-.}")
broker=0
trap 'kill "$broker" 2>/dev/null || true; wait 2>/dev/null; rm -rf "$work"' EXIT
port=$((20000 + RANDOM % 20000))
url="127.0.0.1:$port"

serve() {
    "$binary" serve --data-dir "$work/data" --listen "openwire://$url" ${BROKER_ARGS:-} 2>>"$work/broker.log" &
    broker=$!
}
ready() { for _ in $(seq 300); do (: >"/dev/tcp/127.0.0.1/$port") 2>/dev/null && return; sleep 0.02; done; echo "no broker"; exit 1; }

serve; ready
"$binary" bench "$url" --name restart --producers 4 --consumers 0 --destinations 1 --size 1024 \
    --window 512 --count $((mebibytes * 1024)) >"$work/fill.log" 2>&1 || { tail -3 "$work/fill.log"; exit 1; }
kill -9 "$broker"; wait "$broker" 2>/dev/null || true
du -sm "$work/data"

median() { sort -n | awk '{v[NR]=$1} END {print v[int((NR+1)/2)]}'; }
drop_caches() { sync; echo 3 >/proc/sys/vm/drop_caches; }
for run in $(seq "$runs"); do
    drop_caches
    begin=$(date +%s%N)
    for file in "$work"/data/segment-*; do dd if="$file" of=/dev/null bs=4M iflag=direct status=none; done
    echo $((($(date +%s%N) - begin) / 1000)) >>"$work/read"
    drop_caches
    begin=$(date +%s%N)
    serve
    "$binary" bench "$url" --name restart --producers 0 --consumers 1 --destinations 1 --prefetch 1 \
        --first-delivery >"$work/first.log" 2>&1 || { tail -3 "$work/first.log"; exit 1; }
    echo $((($(date +%s%N) - begin) / 1000)) >>"$work/restart"
    kill -9 "$broker"; wait "$broker" 2>/dev/null || true
done
read_micros=$(median <"$work/read") restart_micros=$(median <"$work/restart")
limit=$((read_micros * 3 / 2 + 500000))
echo "plain read: $read_micros us, restart to first delivery: $restart_micros us, allowed: $limit us (medians of $runs)"
[ "$restart_micros" -le "$limit" ]
