#!/usr/bin/env bash
# ActiveMQ brokers with a network connector of one direction (static, their defaults) forward to postrider what its consumers want
# (tests/interop/forward). Fails if a scenario fails with one of them.
set -euo pipefail

usage() {
    cat <<'USAGE'
usage: forward.sh --binary PATH [--versions "5.17.2 5.18.6 6.3.1"] [--messages N] [--keep]
  --binary PATH    postrider's binary
  --versions LIST  of ActiveMQ, from Maven Central
  --messages N     of the first scenario (default 10000)
  --keep           keeps the data directories, the brokers' logs, and what was compiled
USAGE
}

here=$(cd "$(dirname "$0")" && pwd)
. "$here/broker.sh"
binary= versions="5.17.2 5.18.6 6.3.1" messages=10000
while [ $# -gt 0 ]; do
    case $1 in
        --binary) binary=$2; shift 2 ;;
        --versions) versions=$2; shift 2 ;;
        --messages) messages=$2; shift 2 ;;
        --keep) keep=yes; shift ;;
        -h|--help) usage; exit 0 ;;
        *) echo "forward.sh: unknown argument: $1" >&2; usage >&2; exit 2 ;;
    esac
done
[ -n "$binary" ] || { echo "forward.sh: --binary is missing" >&2; usage >&2; exit 2; }
[ -x "$binary" ] || { echo "forward.sh: no executable at $binary" >&2; exit 2; }
binary=$(cd "$(dirname "$binary")" && pwd)/$(basename "$binary")
begin forward

# Offline where the local repository holds everything.
resolve() { # resolve VERSION ARGUMENT...
    mvn -q -B "${@:2}" "-Dactivemq.version=$1" -f "$here/forward/pom.xml" dependency:build-classpath "-Dmdep.outputFile=$directory/$1/class-path"
}

failed=0
for version in $versions; do
    mkdir -p "$directory/$version/source"
    resolve "$version" -o >/dev/null 2>&1 || resolve "$version"
    jars=$(cat "$directory/$version/class-path")
    for file in "$here"/forward/src/postrider/forward/*.java; do
        case $version in
            6.*) sed 's/javax\.jms/jakarta.jms/g' "$file" ;;
            *) cat "$file" ;;
        esac >"$directory/$version/source/$(basename "$file")"
    done
    javac -encoding UTF-8 -nowarn -proc:none -cp "$jars" -d "$directory/$version/classes" "$directory/$version"/source/*.java
    echo "--- ActiveMQ $version"
    if ! java -Xmx512m -cp "$directory/$version/classes:$jars" postrider.forward.Forward \
        "$binary" "$directory/$version" "$(free_port)" "$messages" 2>"$directory/$version/log"; then
        failed=1
        for log in "$directory/$version/log" "$directory/$version/broker.log"; do
            echo "forward.sh: the last lines of $log" >&2
            tail -n 40 "$log" >&2 || true
        done
    fi
done
exit "$failed"
