# Sourced by the scripts beside it: a broker in a directory of its own, its counters, and the load generator.
#   BINARY       the broker (target/release/postrider)
#   BENCH        the load generator, if it is another program ("$BINARY bench")
#   BROKER_ARGS  further arguments of `serve`
#   WORK         where the directory goes (the system's for temporary files)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
binary=${BINARY:-target/release/postrider}
[ -x "$binary" ] || { echo "no executable at $binary: cargo build --release, or set BINARY" >&2; exit 2; }
work=$(mktemp -d -p "${WORK:-${TMPDIR:-/tmp}}" postrider-acceptance-XXXXXX)
# Below the range from which the kernel takes ports of outgoing connections: one could connect to itself.
port=$((20000 + RANDOM % 10000))
url=127.0.0.1:$port
started=()

finish() {
    local pid
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$work/data"
    [ -n "${KEEP:-}" ] || rm -rf "$work"
}
trap finish EXIT

# serve ARGUMENTS...: starts the broker in the background, its log in $work/broker.log; `broker` is its process.
serve() {
    # shellcheck disable=SC2086 # the arguments are meant to be split
    "$binary" serve --data-dir "$work/data" --listen "openwire://$url" ${BROKER_ARGS:-} "$@" 2>>"$work/broker.log" &
    broker=$!
    started+=("$broker")
}

# bench ARGUMENTS...: the load generator; it waits for the broker to listen.
bench() {
    # shellcheck disable=SC2086 # a command and its arguments
    ${BENCH:-"$binary" bench} "$url" --connect-seconds 60 "$@"
}

kill_broker() {
    kill -9 "$broker"
    wait "$broker" 2>/dev/null || true
}

# sample: asks for the counters. Threads publish them at most every 100 ms, and only when something wakes them: a connection does.
sample() {
    local lines
    lines=$(grep -c 'counters:' "$work/broker.log" || true)
    sleep 0.2
    (: >"/dev/tcp/127.0.0.1/$port") 2>/dev/null || true
    sleep 0.1
    kill -USR1 "$broker"
    for _ in $(seq 100); do
        [ "$(grep -c 'counters:' "$work/broker.log" || true)" -le "$lines" ] || break
        sleep 0.02
    done
    counters=$(grep 'counters:' "$work/broker.log" | tail -1)
}

# counter NAME [LINE]: one value of a line of counters, the last sample if none is given.
counter() { sed -n "s/.* $1=\([0-9]*\).*/\1/p" <<<"${2:-$counters}"; }

# field NAME FILE: a number in the generator's JSON.
field() { sed -n "s/.*\"$1\":\(-\{0,1\}[0-9.]*\).*/\1/p" "$2"; }

median() { sort -n | awk '{value[NR] = $1} END {print value[int((NR + 1) / 2)]}'; }
