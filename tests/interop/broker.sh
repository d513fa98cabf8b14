# Sourced by the scripts that start a broker: `begin` makes $directory, `start_broker` or `start_activemq` sets $broker and $url. At the end of the
# script the broker is stopped, its last lines are shown if the script failed, and the directory goes unless $keep is yes.
broker=
keep=no

begin() { # begin NAME
    name=$1
    directory=$(mktemp -d "${TMPDIR:-/tmp}/postrider-interop-$name-XXXXXX")
    trap finish EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

finish() {
    status=$?
    trap - EXIT INT TERM
    if [ -n "$broker" ]; then
        kill "$broker" 2>/dev/null || true
        wait "$broker" 2>/dev/null || true
    fi
    if [ "$status" -ne 0 ] && [ -f "$directory/broker.log" ]; then
        echo "$name: the last lines of the broker's log" >&2
        tail -n 50 "$directory/broker.log" >&2 || true
    fi
    if [ "$keep" = yes ]; then echo "$name: kept $directory" >&2; else rm -rf "$directory"; fi
    exit "$status"
}

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
        kill -0 "$broker" 2>/dev/null || { echo "$name: the broker ended instead of listening" >&2; exit 1; }
        tries=$((tries + 1))
        [ "$tries" -lt 600 ] || { echo "$name: the broker does not listen on port $1" >&2; exit 1; }
        sleep 0.05
    done
}

start_broker() { # start_broker BINARY ARGUMENT...
    port=$(free_port)
    "$1" serve --data-dir "$directory/data" --listen "openwire://127.0.0.1:$port" "${@:2}" >"$directory/broker.log" 2>&1 &
    broker=$!
    await_port "$port"
    url=tcp://127.0.0.1:$port
}

start_activemq() { # start_activemq VERSION
    pom=$(dirname "${BASH_SOURCE[0]}")/activemq
    set -- -q -B -f "$pom/pom.xml" "-Dactivemq.version=$1" org.apache.maven.plugins:maven-dependency-plugin:3.6.1:build-classpath \
        "-Dmdep.outputFile=$directory/activemq-class-path"
    mvn -o "$@" >/dev/null 2>&1 || mvn "$@"
    port=$(free_port)
    java -Xmx1g -cp "$(cat "$directory/activemq-class-path")" "$pom/Broker.java" "$port" "$directory/data" >"$directory/broker.log" 2>&1 &
    broker=$!
    await_port "$port"
    url=tcp://127.0.0.1:$port
}
