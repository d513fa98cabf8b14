#!/usr/bin/env bash
# Runs the Java interop tests against a broker binary: starts one broker for the tests that need only an address, runs Maven, stops
# the broker, and exits with Maven's code.
set -euo pipefail

usage() {
    cat <<'USAGE'
usage: run.sh --binary PATH | --url URL | --activemq VERSION [--client VERSION] [--args "..."] [--tests PATTERN] [--kills N] [--volume N] [--seed N] [--keep]
  --binary PATH    the broker, started as: PATH serve --data-dir DIR --listen openwire://127.0.0.1:PORT ARGS
  --args "..."     further arguments of `serve`, split at blanks
  --client VERSION of ActiveMQ's client: 5.19.9 (the default), or 6.3.1, for which the tests get jakarta's names
  --tests PATTERN  as Maven's -Dtest, such as 'QueueTest,RestartTest#receipted*' (default: all)
  --kills N        how often KillTest kills the broker (default 5)
  --volume N       messages of each kind in VolumeTest (default 2000)
  --seed N         repeats the random choices of an earlier run
  --keep           keeps the data directory, the broker's log and the test reports
  --url URL        instead of --binary: use a broker that runs already; tests that kill one are skipped
  --activemq VERSION  likewise: ActiveMQ from Maven Central, such as 5.17.2 or 6.3.1, with its defaults
USAGE
}

here=$(cd "$(dirname "$0")" && pwd)
. "$here/broker.sh"
binary= arguments= tests= client=5.19.9 activemq= url= kills=5 volume=2000 seed=
while [ $# -gt 0 ]; do
    case $1 in
        --binary) binary=$2; shift 2 ;;
        --args) arguments=$2; shift 2 ;;
        --tests) tests=$2; shift 2 ;;
        --client) client=$2; shift 2 ;;
        --activemq) activemq=$2; shift 2 ;;
        --kills) kills=$2; shift 2 ;;
        --volume) volume=$2; shift 2 ;;
        --seed) seed=$2; shift 2 ;;
        --url) url=$2; shift 2 ;;
        --keep) keep=yes; shift ;;
        -h|--help) usage; exit 0 ;;
        *) echo "run.sh: unknown argument: $1" >&2; usage >&2; exit 2 ;;
    esac
done
if [ -z "$binary$url$activemq" ]; then
    echo "run.sh: --binary is missing" >&2; usage >&2; exit 2
fi
if [ -n "$binary" ]; then
    [ -x "$binary" ] || { echo "run.sh: no executable at $binary" >&2; exit 2; }
    binary=$(cd "$(dirname "$binary")" && pwd)/$(basename "$binary")
fi

begin run
if [ -n "$activemq" ]; then
    start_activemq "$activemq"
elif [ -z "$url" ]; then
    # shellcheck disable=SC2086 # the arguments are meant to be split
    start_broker "$binary" $arguments
fi

project=(-q -B -f "$here/java/pom.xml" "-Dinterop.directory=$directory/target" "-Dactivemq.version=$client")
if [[ $client != 5.* ]]; then
    mkdir "$directory/source"
    cp -r "$here/java/src/test/java/." "$directory/source"
    find "$directory/source" -name '*.java' -exec sed -i 's/javax\.jms/jakarta.jms/g' {} +
    project+=("-Dinterop.sources=$directory/source")
fi
set -- "${project[@]}" test "-Dpostrider.url=$url" "-Dpostrider.kills=$kills" "-Dpostrider.volume=$volume"
[ -z "$binary" ] || set -- "$@" "-Dpostrider.binary=$binary" "-Dpostrider.args=$arguments" -Dpostrider.strict=true
[ -z "$tests" ] || set -- "$@" "-Dtest=$tests"
[ -z "$seed" ] || set -- "$@" "-Dpostrider.seed=$seed"

# Offline where the local repository holds everything: no network, and no seconds spent on asking it.
if mvn "${project[@]}" -o test -DskipTests >/dev/null 2>&1; then
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
