#!/usr/bin/env bash
# Anonymous memory of connections that are accepted and do nothing, for each driver.
#   tests/acceptance/idle.sh [CONNECTIONS] [DRIVER...]     (10000 epoll uring)
# Exit 1: more than 4 KiB each, or not all of them are served. Needs Python 3 and as many descriptors.
. "$(dirname "$0")/broker.sh"
connections=${1:-10000}
drivers=("${@:2}")
[ ${#drivers[@]} -gt 0 ] || drivers=(epoll uring)
[ "$connections" -ge 100 ] || { echo "at least 100 connections, or the broker's own memory is all that is seen" >&2; exit 2; }
anonymous() { awk '/^RssAnon/ {print $2}' "/proc/$broker/status"; }

# Once it does not grow by itself: segments are made ready for some time after a start.
settled() {
    local known=-1
    while [ "$known" != "$(anonymous)" ]; do
        known=$(anonymous)
        sleep 2
    done
    echo "$known"
}

cat >"$work/idle.py" <<'PYTHON'
import resource, sys, time
sys.path.insert(0, "tests/acceptance/hostile")
from openwire import Connection
port, count = int(sys.argv[1]), int(sys.argv[2])
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
for _ in range(100):
    try:
        first = Connection(port)
        break
    except OSError:
        time.sleep(0.1)
print("first", flush=True)
sys.stdin.readline()
others = [Connection(port) for _ in range(count)]
print(len(others), flush=True)
sys.stdin.readline()
PYTHON

verdict=passed
for driver in "${drivers[@]}"; do
    serve --io "$driver"
    coproc CLIENTS { exec python3 "$work/idle.py" "$port" "$connections"; }
    clients=$CLIENTS_PID
    started+=("$clients")
    read -r _ <&"${CLIENTS[0]}" || { echo "$driver: no connection"; exit 1; }
    before=$(settled)
    echo >&"${CLIENTS[1]}"
    read -r served <&"${CLIENTS[0]}" || served=0
    sleep "${REST:-5}"
    after=$(anonymous)
    each=$(((after - before) * 1024 / connections))
    echo "$driver: $served connections, anonymous memory from $before to $after KiB: $each bytes each"
    [ "$served" -eq "$connections" ] || { echo "$driver: not all were served"; verdict=FAILED; }
    [ "$each" -le 4096 ] || { echo "$driver: more than 4096 bytes each"; verdict=FAILED; }
    echo >&"${CLIENTS[1]}"
    wait "$clients" 2>/dev/null || true
    kill "$broker"
    wait "$broker" 2>/dev/null || true
done
echo "idle: $verdict"
[ "$verdict" = passed ]
