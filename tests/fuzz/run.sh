#!/bin/sh
# Fuzzes every target for so many seconds, from seeds made of the golden vectors. Ends with an error on a crash; the
# input that caused it is then in tests/fuzz/artifacts.
#
# Needs a nightly toolchain and cargo-fuzz (cargo install cargo-fuzz).
set -eu
seconds=${1:?usage: run.sh SECONDS}
cd "$(dirname "$0")"
cargo +nightly run --quiet --example seeds -- ../vectors/openwire corpus/openwire_decode
# The whole project is given to the fuzzer as a folder, as it is not called fuzz/ at the top.
fuzz() { # fuzz TARGET LENGTH
    cargo +nightly fuzz run --fuzz-dir . "$1" -- \
        -max_total_time="$seconds" -max_len="$2" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1
}
fuzz openwire_decode 16384
fuzz session 512
