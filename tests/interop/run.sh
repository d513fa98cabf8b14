#!/usr/bin/env bash
# Runs the Java interop tests against a broker binary: starts one broker for the tests that need only an address, runs Maven, stops
# the broker, and exits with Maven's code.
set -euo pipefail

usage() {
    cat <<'USAGE'
usage: run.sh --binary PATH | --url URL [--args "..."] [--tests PATTERN] [--kills N] [--volume N] [--seed N] [--keep]
  --binary PATH    the broker, started as: PATH serve --data-dir DIR --listen openwire://127.0.0.1:PORT ARGS
  --args "..."     further arguments of `serve`, split at blanks
  --tests PATTERN  as Maven's -Dtest, such as 'QueueTest,RestartTest#receipted*' (default: all)
  --kills N        how often KillTest kills the broker (default 5)
  --volume N       messages of each kind in VolumeTest (default 2000)
  --seed N         repeats the random choices of an earlier run
  --keep           keeps the data directory, the broker's log and the test reports
  --url URL        instead of --binary: use a broker that runs already; tests that kill one are skipped
USAGE
}

here=$(cd "$(dirname "$0")" && pwd)
binary= arguments= tests= url= kills=5 volume=2000 seed= keep=no
while [ $# -gt 0 ]; do
    case $1 in
        --binary) binary=$2; shift 2 ;;
        --args) arguments=$2; shift 2 ;;
        --tests) tests=$2; shift 2 ;;
        --kills) kills=$2; shift 2 ;;
        --volume) volume=$2; shift 2 ;;
        --seed) seed=$2; shift 2 ;;
        --url) url=$2; shift 2 ;;
        --keep) keep=yes; shift ;;
        -h|--help) usage; exit 0 ;;
        *) echo "run.sh: unknown argument: $1" >&2; usage >&2; exit 2 ;;
    esac
done
if [ -z "$binary" ] && [ -z "$url" ]; then
    echo "run.sh: --binary is missing" >&2; usage >&2; exit 2
fi
if [ -n "$binary" ]; then
    [ -x "$binary" ] || { echo "run.sh: no executable at $binary" >&2; exit 2; }
    binary=$(cd "$(dirname "$binary")" && pwd)/$(basename "$binary")
fi

directory=$(mktemp -d "${TMPDIR:-/tmp}/postrider-interop-run-XXXXXX")
broker=
finish() {
    status=$?
    trap - EXIT INT TERM
    if [ -n "$broker" ]; then
        kill "$broker" 2>/dev/null || true
        wait "$broker" 2>/dev/null || true
    fi
    if [ "$status" -ne 0 ] && [ -f "$directory/broker.log" ]; then
        echo "run.sh: the last lines of the broker's log" >&2
        tail -n 50 "$directory/broker.log" >&2 || true
    fi
    if [ "$keep" = yes ]; then echo "run.sh: kept $directory" >&2; else rm -rf "$directory"; fi
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# A port that is free at the moment; below the range from which the kernel takes ports of outgoing connections.
free_port() {
    port=$((20000 + $$ % 10000))
    while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
    echo "$port"
}

# 30 seconds for the broker to listen.
await_port() {
    tries=0
    until (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; do
        kill -0 "$broker" 2>/dev/null || { echo "run.sh: the broker ended instead of listening" >&2; exit 1; }
        tries=$((tries + 1))
        [ "$tries" -lt 600 ] || { echo "run.sh: the broker does not listen on port $1" >&2; exit 1; }
        sleep 0.05
    done
}

if [ -z "$url" ]; then
    port=$(free_port)
    # shellcheck disable=SC2086 # the arguments are meant to be split
    "$binary" serve --data-dir "$directory/data" --listen "openwire://127.0.0.1:$port" $arguments >"$directory/broker.log" 2>&1 &
    broker=$!
    await_port "$port"
    url=tcp://127.0.0.1:$port
fi

set -- -q -B -f "$here/java/pom.xml" "-Dinterop.directory=$directory/target" test "-Dpostrider.url=$url" "-Dpostrider.kills=$kills" "-Dpostrider.volume=$volume"
[ -z "$binary" ] || set -- "$@" "-Dpostrider.binary=$binary" "-Dpostrider.args=$arguments" -Dpostrider.strict=true
[ -z "$tests" ] || set -- "$@" "-Dtest=$tests"
[ -z "$seed" ] || set -- "$@" "-Dpostrider.seed=$seed"

# Offline where the local repository holds everything: no network, and no seconds spent on asking it.
if mvn -q -B -o -f "$here/java/pom.xml" "-Dinterop.directory=$directory/target" test -DskipTests >/dev/null 2>&1; then
    set -- -o "$@"
fi
status=0
mvn "$@" || status=$?
cat "$directory"/target/surefire-reports/*.txt 2>/dev/null |
    awk '/^Tests run:/ { gsub(",", ""); run += $3; failed += $5 + $7; skipped += $9; seconds += $12 }
        END { printf "run.sh: %d tests run, %d failed, %d skipped, %.0f s\n", run, failed, skipped, seconds }'
if [ -n "$broker" ] && ! kill -0 "$broker" 2>/dev/null; then
    code=0
    wait "$broker" || code=$?
    echo "run.sh: the broker ended during the tests, with $code" >&2
    [ "$status" -ne 0 ] || status=1
fi
exit "$status"
