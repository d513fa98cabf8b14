#!/bin/sh
# postrider beside Debian's ActiveMQ: one generator, one machine, one durability, runs taken in turns.
#
#   bench/compare/run.sh --postrider target/release/postrider [--repetitions 5] [--seconds 10] [--warm-up 15]
#   bench/compare/run.sh --matrix --postrider target/release/postrider [--size small|whole] [--only NAME...]
#
# Needs: python3, and for ActiveMQ `apt-get install activemq` with a Java runtime; the matrix also a JDK and Maven, which fetches
# Artemis and the Java client, and libaio1, without which Artemis writes its journal another way. `--help` lists all options.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
if [ "${1-}" = --matrix ]; then
    shift
    PYTHONPATH="$here" exec python3 -B -m matrix "$@"
fi
exec python3 -B "$here/compare.py" "$@"
