#!/usr/bin/env bash
# Runs what applications do with many clients against one broker: ActiveMQ's own from 5.4.3 to 6.3.1, in shaded jars, Spring's containers,
# Camel, pools, and Atomikos' transactions. Slow, as it resolves and starts two dozen of them. Fails if a scenario of one fails.
set -euo pipefail

usage() {
    cat <<'USAGE'
usage: matrix.sh --binary PATH | --url URL | --activemq VERSION [--args "..."] [--clients "NAME ..."] [--only SCENARIO,...] [--keep]
  --binary PATH       the broker, started as: PATH serve --data-dir DIR --listen openwire://127.0.0.1:PORT ARGS
  --args "..."        further arguments of `serve`, split at blanks
  --clients LIST      those whose names begin with one of these
  --only LIST         these scenarios alone
  --keep              keeps the data directory, the broker's log, and what was compiled
  --url URL           instead of --binary: use a broker that runs already
  --activemq VERSION  likewise: ActiveMQ from Maven Central
USAGE
}

here=$(cd "$(dirname "$0")" && pwd)
. "$here/broker.sh"
binary= arguments= url= activemq= clients= only=
while [ $# -gt 0 ]; do
    case $1 in
        --binary) binary=$2; shift 2 ;;
        --args) arguments=$2; shift 2 ;;
        --url) url=$2; shift 2 ;;
        --activemq) activemq=$2; shift 2 ;;
        --clients) clients=$2; shift 2 ;;
        --only) only=$2; shift 2 ;;
        --keep) keep=yes; shift ;;
        -h|--help) usage; exit 0 ;;
        *) echo "matrix.sh: unknown argument: $1" >&2; usage >&2; exit 2 ;;
    esac
done
if [ -z "$binary$url$activemq" ]; then
    echo "matrix.sh: --binary is missing" >&2; usage >&2; exit 2
fi

begin matrix
if [ -n "$activemq" ]; then
    start_activemq "$activemq"
elif [ -z "$url" ]; then
    # shellcheck disable=SC2086 # the arguments are meant to be split
    start_broker "$binary" $arguments
fi

# name, profile of the POM, main class, versions, further arguments; jakarta.jms where the client is 6
all='
activemq-5.4.3|core|Plain|activemq=5.4.3|
activemq-5.8.0|legacy|Plain|activemq=5.8.0|
activemq-5.15.16|legacy|Plain|activemq=5.15.16|
activemq-5.16.8|legacy|Plain|activemq=5.16.8|
activemq-5.17.7|legacy|Plain|activemq=5.17.7|
activemq-5.18.6|legacy|Plain|activemq=5.18.6|
activemq-5.19.9|client|Plain|activemq=5.19.9|
activemq-6.3.1|client|Plain|activemq=6.3.1|
shaded-5.18.6|client|Plain|activemq=5.18.6|shaded
shaded-6.3.1|client|Plain|activemq=6.3.1|shaded
jms2-6.3.1|client|Jms2|activemq=6.3.1|
spring-5.3.39|spring|Spring|activemq=5.18.6 spring=5.3.39|
spring-6.2|spring|Spring|activemq=6.3.1 spring=6.2.19|
spring-7.0|spring|Spring|activemq=6.3.1 spring=7.0.10|
jta-spring-5.3|jta|Jta|activemq=5.18.6 spring=5.3.39 atomikos=5.0.9|
jta-spring-6.2|jta-jakarta|Jta|activemq=6.3.1 spring=6.2.19 atomikos=6.0.0|
jta-spring-7.0|jta-jakarta|Jta|activemq=6.3.1 spring=7.0.10 atomikos=6.0.0|
pooled-jms-2.0.9|pooled|Pooled|activemq=5.19.9 pool=2.0.9|org.messaginghub.pooled.jms.JmsPoolConnectionFactory
pooled-jms-3.2.5|pooled|Pooled|activemq=6.3.1 pool=3.2.5|org.messaginghub.pooled.jms.JmsPoolConnectionFactory
activemq-pool-5.18.6|activemq-pool|Pooled|activemq=5.18.6|org.apache.activemq.pool.PooledConnectionFactory
camel-3.22|camel|Camel|activemq=5.18.6 camel=3.22.4|
camel-4|camel|Camel|activemq=6.3.1 camel=4.8.9|
'

is_chosen() { # is_chosen NAME
    [ -n "$clients" ] || return 0
    for prefix in $clients; do case $1 in "$prefix"*) return 0 ;; esac; done
    return 1
}

class_path() { # class_path NAME PROFILE VERSION...
    local file=$directory/$1/class-path properties=()
    for version in "${@:3}"; do properties+=("-D${version%%=*}.version=${version#*=}"); done
    set -- -q -B -f "$here/clients/pom.xml" -P "$2" "${properties[@]}" dependency:build-classpath "-Dmdep.outputFile=$file"
    mvn -o "$@" >/dev/null 2>&1 || mvn "$@" >&2
    cat "$file"
}

run_client() { # run_client NAME PROFILE MAIN VERSIONS MORE: its scenarios; whether all went well
    local home=$directory/$1 jars jar main=$3 more=$5 source
    mkdir -p "$home/source"
    # shellcheck disable=SC2086 # one word a version
    jars=$(class_path "$1" "$2" $4)
    if [ "$more" = shaded ]; then # no manifest says the version of the client
        more=
        jar=$(tr ':' '\n' <<<"$jars" | grep '/activemq-client-')
        mkdir "$home/shaded"
        (cd "$home/shaded" && jar xf "$jar" && rm -rf META-INF/MANIFEST.MF)
        jars=${jars/"$jar"/"$home/shaded"}
    fi
    source=$here/clients/src
    [ "$main" = Plain ] || source=$here/clients/more
    cp -u "$here/clients/src/postrider/clients/Check.java" "$source"/postrider/clients/*.java "$home/source" 2>/dev/null
    [ "$main" = Plain ] || find "$home/source" -name '*.java' ! -name Check.java ! -name "$main.java" -delete
    case $4 in *activemq=6.*) sed -i 's/javax\.jms/jakarta.jms/g' "$home"/source/*.java ;; esac
    javac -encoding UTF-8 -nowarn -proc:none -cp "$jars" -d "$home/classes" "$home"/source/*.java 2>"$home/err" || { cat "$home/err" >&2; return 1; }
    timeout 1800 java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC "-Donly=$only" "-Dhome=$home" -Dlimit=240 '-Dorg.apache.activemq.SERIALIZABLE_PACKAGES=*' \
        -cp "$home/classes:$jars" "postrider.clients.$main" "$url" "$1" ${more:+"$more"} >"$home/out" 2>"$home/err" || true
    grep -E '^FAIL |: [0-9]+ run, ' "$home/out" || true
    grep -q ': [0-9]* run, 0 failed$' "$home/out" || { tail -n 5 "$home/err" >&2; return 1; }
}

failed=0 ran=0
while IFS='|' read -r name profile main versions more; do
    if [ -n "$name" ] && is_chosen "$name"; then
        ran=$((ran + 1))
        run_client "$name" "$profile" "$main" "$versions" "$more" </dev/null || { echo "matrix.sh: $name has failed" >&2; failed=$((failed + 1)); }
    fi
done <<<"$all"
echo "matrix.sh: $ran clients run, $failed failed"
[ "$ran" -gt 0 ] && [ "$failed" -eq 0 ]
