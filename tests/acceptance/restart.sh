#!/usr/bin/env bash
# How long a restart takes on a log that is all live: from exec to the first delivery, beside a plain O_DIRECT read of the same files.
#   tests/acceptance/restart.sh [MIB] [RUNS] [SIZE]   (1024 5 1024)
# MIB of texts of SIZE bytes; the log is longer by the heads of its records. Needs root, to drop the kernel's caches.
# Exit 1: slower than 1.5 times the read plus 0.5 s (medians of interleaved runs), or anonymous memory is larger than before by more than
# 64 MiB after one of them.
. "$(dirname "$0")/broker.sh"
mebibytes=${1:-1024} runs=${2:-5} size=${3:-1024}

anonymous_mebibytes() { awk '/^RssAnon/ {print int($2 / 1024)}' "/proc/$broker/status"; }

drop_caches() { sync; echo 3 >/proc/sys/vm/drop_caches; }

# The files that hold the log; those that are only made ready for what comes are not read by a restart either.
log_files() { ls "$work"/data/segment-* | head -n $(((log_bytes + 67108863) / 67108864)); }

plain_read() {
    local begin file
    begin=$(date +%s%N)
    for file in $(log_files); do dd if="$file" of=/dev/null bs=4M iflag=direct status=none; done
    echo $((($(date +%s%N) - begin) / 1000))
}

# The consumer is there before the broker: its clock runs from before the exec, and it connects as soon as the broker listens.
first_delivery() {
    bench --name restart --producers 0 --size "$size" --prefetch 1 --first-delivery --json >"$work/first.json" 2>"$work/first.log" &
    local waiting=$!
    serve
    wait "$waiting" || { cat "$work/first.log" "$work/first.json"; tail -3 "$work/broker.log"; exit 1; }
    awk -v seconds="$(field first_delivery_seconds "$work/first.json")" 'BEGIN {printf "%d\n", seconds * 1e6}' >>"$work/restart"
}

serve
bench --name restart --producers 4 --consumers 0 --size "$size" --window 512 --count $((mebibytes * 1048576 / size)) >"$work/fill.log" 2>&1 ||
    { tail -3 "$work/fill.log"; exit 1; }
sample
log_bytes=$(counter log_bytes)
before=$(anonymous_mebibytes) after=0
kill_broker
echo "log: $((log_bytes >> 20)) MiB in $(log_files | wc -l) files, live: $(($(counter live_bytes) >> 20)) MiB"

for run in $(seq "$runs"); do
    drop_caches
    plain_read >>"$work/read"
    drop_caches
    first_delivery
    anonymous=$(anonymous_mebibytes)
    after=$((anonymous > after ? anonymous : after))
    kill_broker
    echo "run $run: plain read $(tail -1 "$work/read") us, restart to first delivery $(tail -1 "$work/restart") us"
done
read_micros=$(median <"$work/read") restart_micros=$(median <"$work/restart")
limit=$((read_micros * 3 / 2 + 500000))
echo "medians of $runs: plain read $read_micros us, restart to first delivery $restart_micros us, allowed $limit us"
echo "anonymous memory: $before MiB before, $after MiB after a restart at most"
[ "$after" -le $((before + 64)) ] || { echo "restart: FAILED"; exit 1; }
[ "$restart_micros" -le "$limit" ] || { echo "restart: FAILED"; exit 1; }
echo "restart: passed"
