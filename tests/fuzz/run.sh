#!/bin/sh
# Fuzzes every target, or those named, for so many seconds, from seeds made of the golden vectors and of whole conversations.
# Ends with an error on a crash; the input that caused it is then in tests/fuzz/artifacts.
#   run.sh SECONDS [TARGET...]      openwire_decode session broker recovery selector
#
# Needs a nightly toolchain and cargo-fuzz (cargo install cargo-fuzz).
set -eu
seconds=${1:?usage: run.sh SECONDS [TARGET...]}
shift
cd "$(dirname "$0")"
cargo +nightly run --quiet --example seeds -- ../vectors/openwire corpus/openwire_decode
cargo +nightly run --quiet --example selectors -- ../vectors/openwire/selectors.jsonl.gz corpus/selector
cargo +nightly run --quiet --example steps -- corpus/broker corpus/recovery
# The whole project is given to the fuzzer as a folder, as it is not called fuzz/ at the top.
fuzz() { # fuzz TARGET LENGTH
    cargo +nightly fuzz run --fuzz-dir . "$1" -- \
        -max_total_time="$seconds" -max_len="$2" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1
}
[ $# -gt 0 ] || set -- openwire_decode session broker recovery selector
for target in "$@"; do
    case $target in
    openwire_decode) fuzz "$target" 16384 ;;
    session) fuzz "$target" 512 ;;
    broker) fuzz "$target" 4096 ;;
    recovery) fuzz "$target" 128 ;;
    selector) fuzz "$target" 1024 ;;
    *) echo "no such target: $target" >&2 && exit 2 ;;
    esac
done
