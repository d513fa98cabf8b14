#!/usr/bin/env bash
# Runs JORAM's 196 tests for JMS 1.1 against a broker binary, over ActiveMQ's client, 5 or 6. For 6 the same classes get jakarta's names.
# Fails if a test fails, or if not all of them ran.
set -euo pipefail

usage() {
    cat <<'USAGE'
usage: run.sh --binary PATH | --url URL [--client 5|6|VERSION] [--runs N] [--args "..."] [--keep]
  --binary PATH     the broker, started as: PATH serve --data-dir DIR --listen openwire://127.0.0.1:PORT ARGS
  --client VERSION  of ActiveMQ's client; 5 is 5.19.9 and 6 is 6.3.1 (default 5)
  --runs N          that many in a row, on one broker (default 1)
  --args "..."      further arguments of `serve`, split at blanks
  --keep            keeps the data directory, the broker's log, and what the tests said
  --url URL         instead of --binary: use a broker that runs already
USAGE
}

here=$(cd "$(dirname "$0")" && pwd)
. "$here/../interop/broker.sh"
all=196
binary= arguments= url= client=5 runs=1
while [ $# -gt 0 ]; do
    case $1 in
        --binary) binary=$2; shift 2 ;;
        --args) arguments=$2; shift 2 ;;
        --url) url=$2; shift 2 ;;
        --client) client=$2; shift 2 ;;
        --runs) runs=$2; shift 2 ;;
        --keep) keep=yes; shift ;;
        -h|--help) usage; exit 0 ;;
        *) echo "run.sh: unknown argument: $1" >&2; usage >&2; exit 2 ;;
    esac
done
if [ -z "$binary" ] && [ -z "$url" ]; then
    echo "run.sh: --binary is missing" >&2; usage >&2; exit 2
fi
case $client in
    5) client=5.19.9 ;;
    6) client=6.3.1 ;;
esac

begin joram
# shellcheck disable=SC2086 # the arguments are meant to be split
[ -n "$url" ] || start_broker "$binary" $arguments

# Offline where the local repository holds everything.
resolve() {
    mvn -q -B "$@" -f "$here/pom.xml" "-Dactivemq.version=$client" dependency:build-classpath "-Dmdep.outputFile=$directory/class-path"
}
resolve -o >/dev/null 2>&1 || resolve
jars=$(cat "$directory/class-path")
suite=$(tr ':' '\n' <<<"$jars" | grep '/joram-jms-tests')
if [[ $client != 5.* ]]; then
    python3 -B "$here/jakarta.py" "$suite" "$directory/suite.jar"
    jars=${jars/"$suite"/"$directory/suite.jar"}
fi

mkdir "$directory/classes"
javac -encoding UTF-8 -nowarn -proc:none -cp "$jars" -d "$directory/classes" "$here"/src/postrider/joram/*.java
echo "jms.provider.admin.class=postrider.joram.Broker" >"$directory/classes/provider.properties"
echo "timeout=1000" >"$directory/classes/test.properties" # milliseconds that the tests wait for a message
tests=$(jar tf "$suite" | grep '^org/objectweb/jtests/jms/conform/.*Test\.class$' | sed 's/\.class$//; s|/|.|g' | sort)

status=0
for ((run = 1; run <= runs; run++)); do
    results=$directory/results.$run
    # shellcheck disable=SC2086 # one word a class
    timeout 900 java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC "-Dbroker.url=$url" -cp "$directory/classes:$jars" \
        postrider.joram.Suite "$results" $tests >"$results.out" 2>&1 || true
    grep '^FAIL' "$results" || true
    ran=$(wc -l <"$results")
    failed=$(grep -c '^FAIL' "$results" || true)
    echo "JORAM over $client: $ran run, $failed failed"
    [ "$failed" -eq 0 ] || status=1
    if [ "$ran" -ne "$all" ]; then
        echo "run.sh: $all tests are expected" >&2
        tail -n 20 "$results.out" >&2
        status=1
    fi
done
exit "$status"
