#!/usr/bin/env bash
# Persistent traffic for a long time with one message left unacknowledged: does the log stay within 3 x live + 8 segments, and
# memory where it was?
#   tests/acceptance/soak.sh [SECONDS] [RATE]        (1800 50000)
# A sample every five seconds goes to soak.tsv of the temporary directory, which is kept. Exit 1: the log was too long at a sample,
# memory without files behind it was larger at the end than after five minutes (or a third of the time) by more than 64 MiB, a
# message was lost, duplicated or out of order, or the rate was missed by 5 %.
. "$(dirname "$0")/broker.sh"
seconds=${1:-1800} rate=${2:-50000}
KEEP=yes
segment=67108864
settling=$((seconds < 900 ? seconds / 3 : 300))

serve
# One message that stays: received by a consumer that never acknowledges, as long as this runs.
bench --name held --count 1 --size 1024 --hold-seconds $((seconds + 600)) >"$work/holder.log" 2>&1 &
holder=$!
started+=("$holder")
for _ in $(seq 600); do ! grep -q '^holding 1 ' "$work/holder.log" || break; sleep 0.1; done
grep -q '^holding 1 ' "$work/holder.log" || { echo "no message to hold:"; cat "$work/holder.log"; exit 1; }

bench --name soak --producers 4 --consumers 4 --destinations 4 --size 1024 --window 64 --rate "$rate" --seconds "$seconds" --json \
    >"$work/bench.json" 2>"$work/bench.log" &
load=$!
started+=("$load")

failed=0 settled=0 last=0 longest=0
printf 'seconds\tlog_bytes\tlive_bytes\tpublished\tdisk_bytes\tanonymous_kib\n' >"$work/soak.tsv"
begin=$(date +%s)
while sleep 5; kill -0 "$load" 2>/dev/null; do
    now=$(($(date +%s) - begin))
    sample
    log=$(counter log_bytes) live=$(counter live_bytes)
    last=$(awk '/^RssAnon/ {print $2}' "/proc/$broker/status")
    disk=$(du -s -B1 "$work/data" | cut -f1)
    printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$now" "$log" "$live" "$(counter published)" "$disk" "$last" >>"$work/soak.tsv"
    [ "$log" -le "$longest" ] || longest=$log
    if [ "$log" -gt $((3 * live + 8 * segment)) ]; then
        echo "at $now s: log $log bytes, live $live bytes: more than 3 x live + 8 segments"
        failed=1
    fi
    [ "$settled" -ne 0 ] || [ "$now" -lt "$settling" ] || settled=$last
done
wait "$load" || { echo "the load failed:"; cat "$work/bench.log"; failed=1; }
tail -1 "$work/bench.json"
kill -0 "$holder" 2>/dev/null || { echo "the held message was let go:"; cat "$work/holder.log"; failed=1; }
echo "samples: $(($(wc -l <"$work/soak.tsv") - 1)) in $work/soak.tsv; longest log: $longest bytes ($((longest * 10 / segment)) tenths of a segment)"
echo "anonymous memory after $settling s: $settled KiB, at the end: $last KiB"
# A minute's maxima tell growth from a saw that follows the log.
most() { awk -v from="$1" -v to="$2" 'NR > 1 && $1 >= from && $1 < to && $6 > most {most = $6} END {print most + 0}' "$work/soak.tsv"; }
echo "most in the minute after that: $(most "$settling" $((settling + 60))) KiB, in the last minute: $(most $((now - 60)) $((now + 1))) KiB"
[ $((last - settled)) -le 65536 ] || { echo "memory grew by more than 64 MiB"; failed=1; }
awk "BEGIN {exit !($(field send_rate "$work/bench.json") >= 0.95 * $rate)}" || { echo "the rate was missed"; failed=1; }
[ "$failed" -eq 0 ] && echo "soak: passed" || echo "soak: FAILED"
exit "$failed"
