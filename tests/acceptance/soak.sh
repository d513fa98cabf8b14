#!/usr/bin/env bash
# Persistent traffic for a long time with one message left unacknowledged: does the log stay within 3 x live + 8 segments, and
# memory where it was?
#   tests/acceptance/soak.sh [SECONDS] [RATE]        (1800 50000)
# Samples every ten seconds into soak.tsv of the temporary directory; the last line is the verdict. Exit 1: a bound was broken.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-1800} rate=${2:-50000}
binary=${BINARY:-target/release/postrider}
work=$(mktemp -d)
trap 'kill "$broker" 2>/dev/null || true; kill "$holder" 2>/dev/null || true; wait 2>/dev/null; rm -rf "$work/data"; echo "log and samples: $work"' EXIT
port=$((20000 + RANDOM % 20000))
url="127.0.0.1:$port"

"$binary" serve --data-dir "$work/data" --listen "openwire://$url" ${BROKER_ARGS:-} 2>"$work/broker.log" &
broker=$!
for _ in $(seq 100); do grep -q ' serves ' "$work/broker.log" && break; sleep 0.1; done

# One message that stays: sent, received by a consumer that never acknowledges, as long as this runs.
"$binary" bench "$url" --name held --producers 1 --consumers 1 --destinations 1 --count 1 --size 1024 \
    --window 1 --hold-seconds $((seconds + 60)) >"$work/holder.log" 2>&1 &
holder=$!
sleep 2

"$binary" bench "$url" --name soak --producers 4 --consumers 4 --destinations 4 --size 1024 \
    --window 64 --rate "$rate" --seconds "$seconds" --json >"$work/bench.json" 2>"$work/bench.log" &
load=$!

counter() { sed -n "s/.* $1=\([0-9]*\).*/\1/p" <<<"$2"; }
failed=0 settled=0
printf 'seconds\tlog_bytes\tlive_bytes\tanonymous_kib\n' >"$work/soak.tsv"
start=$(date +%s)
while kill -0 "$load" 2>/dev/null; do
    sleep 10
    now=$(($(date +%s) - start))
    kill -USR1 "$broker"
    sleep 0.3
    line=$(grep 'counters:' "$work/broker.log" | tail -1)
    log=$(counter log_bytes "$line") live=$(counter live_bytes "$line")
    anonymous=$(awk '/^RssAnon/ {print $2}' "/proc/$broker/status")
    printf '%s\t%s\t%s\t%s\n' "$now" "$log" "$live" "$anonymous" >>"$work/soak.tsv"
    if [ "$log" -gt $((3 * live + 8 * 67108864)) ]; then
        echo "at $now s: log $log bytes, live $live bytes"
        failed=1
    fi
    [ "$settled" -ne 0 ] || [ "$now" -lt $((seconds < 600 ? seconds / 3 : 300)) ] || settled=$anonymous
    last=$anonymous
done
wait "$load" || { echo "the load failed:"; tail -5 "$work/bench.log"; failed=1; }
tail -1 "$work/bench.json"
echo "samples: $(($(wc -l <"$work/soak.tsv") - 1)); anonymous memory when settled $settled KiB, at the end $last KiB"
[ $((last - settled)) -le 65536 ] || { echo "memory grew by more than 64 MiB"; failed=1; }
[ "$failed" -eq 0 ] && echo "soak: passed"
exit "$failed"
