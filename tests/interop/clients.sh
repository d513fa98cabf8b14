#!/usr/bin/env bash
# Runs what an application does with the newest ActiveMQ client (tests/interop/clients) against a broker: as the client is, and out
# of one jar with everything and no manifest of the client's, as shaded applications have it. Fails if a scenario fails.
set -euo pipefail

usage() {
    cat <<'USAGE'
usage: clients.sh --binary PATH | --url URL [--args "..."] [--only SCENARIO,...] [--keep]
  --binary PATH   the broker, started as: PATH serve --data-dir DIR --listen openwire://127.0.0.1:PORT ARGS
  --args "..."    further arguments of `serve`, split at blanks
  --only LIST     these scenarios alone
  --keep          keeps the data directory, the broker's log, and what was compiled
  --url URL       instead of --binary: use a broker that runs already
USAGE
}

here=$(cd "$(dirname "$0")" && pwd)
. "$here/broker.sh"
binary= arguments= url= only=
while [ $# -gt 0 ]; do
    case $1 in
        --binary) binary=$2; shift 2 ;;
        --args) arguments=$2; shift 2 ;;
        --url) url=$2; shift 2 ;;
        --only) only=$2; shift 2 ;;
        --keep) keep=yes; shift ;;
        -h|--help) usage; exit 0 ;;
        *) echo "clients.sh: unknown argument: $1" >&2; usage >&2; exit 2 ;;
    esac
done
if [ -z "$binary" ] && [ -z "$url" ]; then
    echo "clients.sh: --binary is missing" >&2; usage >&2; exit 2
fi

begin clients
# shellcheck disable=SC2086 # the arguments are meant to be split
[ -n "$url" ] || start_broker "$binary" $arguments

# Offline where the local repository holds everything.
resolve() {
    mvn -q -B "$@" -f "$here/clients/pom.xml" dependency:build-classpath "-Dmdep.outputFile=$directory/class-path"
}
resolve -o >/dev/null 2>&1 || resolve
jars=$(cat "$directory/class-path")

# The scenarios are written for javax.jms; the newest client has jakarta.jms.
mkdir -p "$directory/source"
for file in "$here"/clients/src/postrider/clients/*.java; do
    sed 's/javax\.jms/jakarta.jms/g' "$file" >"$directory/source/$(basename "$file")"
done
javac -encoding UTF-8 -nowarn -proc:none -cp "$jars" -d "$directory/classes" "$directory"/source/*.java

# All jars and the application in one. Of two files with one name the later stays, and the manifests go.
mkdir "$directory/all"
IFS=: read -ra each <<<"$jars"
for jar in "${each[@]}"; do (cd "$directory/all" && jar xf "$jar"); done
cp -r "$directory/classes/." "$directory/all"
rm -rf "$directory/all/META-INF/MANIFEST.MF" "$directory"/all/META-INF/*.SF "$directory"/all/META-INF/*.RSA
jar cfM "$directory/shaded.jar" -C "$directory/all" .

failed=0
run() { # run LABEL CLASSPATH
    java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC "-Donly=$only" '-Dorg.apache.activemq.SERIALIZABLE_PACKAGES=*' -cp "$2" \
        postrider.clients.Plain "$url" "$1" 2>"$directory/$1.err" | tee "$directory/$1.out" | { grep -v '^ok ' || true; }
    grep -q ': [1-9][0-9]* run, 0 failed$' "$directory/$1.out" || { tail -n 20 "$directory/$1.err" >&2; failed=1; }
}
run plain "$directory/classes:$jars"
run shaded "$directory/shaded.jar"
exit $failed
