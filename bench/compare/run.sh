#!/bin/sh
# postrider beside Debian's ActiveMQ: one generator, one machine, one durability, runs taken in turns.
#
#   bench/compare/run.sh --postrider target/release/postrider [--repetitions 5] [--seconds 10] [--warm-up 15]
#
# Needs: python3, and for ActiveMQ `apt-get install activemq` with a Java runtime. `--help` lists all options.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
exec python3 -B "$here/compare.py" "$@"
