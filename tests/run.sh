#!/usr/bin/env bash
# Passes all tests on a fresh machine: installs what is missing, then runs every suite at its small size.
#   tests/run.sh [SUITE...]      suites: rust plants loom sim instructions compare interop joram kills hostile fuzz   (default: all, in this order)
#   tests/run.sh clients         slow, and not among them: two dozen: clients of other versions, Spring, Atomikos, Camel and pools
# Larger sizes by environment: SIM_SEEDS (300), KILLS (30), VOLUME (4000), FUZZ_SECONDS (20, for each of five targets).
set -euo pipefail
cd "$(dirname "$0")/.."

: "${SIM_SEEDS:=300}" "${KILLS:=30}" "${VOLUME:=4000}" "${FUZZ_SECONDS:=20}"
suites=("$@")
[ ${#suites[@]} -gt 0 ] || suites=(rust plants loom sim instructions compare interop joram kills hostile fuzz)

say() { printf '\n=== %s (%s)\n' "$1" "$(date +%T)"; }

need() { # need COMMAND PACKAGE...
    command -v "$1" >/dev/null || { shift; apt-get update -q && apt-get install -qy --no-install-recommends "$@"; }
}

rust() {
    cargo test --workspace --exclude sim
}

plants() {
    cargo test -p postrider-journal -p postrider-broker -p postrider-dispatcher --features plant
}

loom() {
    RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom cargo test --release -p postrider-dispatcher --test ring_loom
}

sim() {
    cargo test --release -p sim
    cargo run --release -p sim -- --seeds "0..$SIM_SEEDS"
    tests/sim/plants.sh
}

instructions() {
    need valgrind valgrind
    bench/instructions.sh
}

compare() { # what the comparison with other brokers computes; it is not measured here
    need python3 python3
    python3 -B -m unittest discover -q -s bench/compare/tests -t bench/compare
}

interop() {
    need javac openjdk-17-jdk-headless
    need mvn maven
    cargo build --release
    tests/interop/run.sh --binary target/release/postrider --volume "$VOLUME" --tests '!KillTest' --args "--cores 2"
    tests/interop/clients.sh --binary target/release/postrider --args "--cores 2"
    tests/interop/forward.sh --binary target/release/postrider
}

clients() {
    need javac openjdk-17-jdk-headless
    need mvn maven
    cargo build --release
    tests/interop/matrix.sh --binary target/release/postrider --args "--cores 2"
}

joram() {
    need javac openjdk-17-jdk-headless
    need mvn maven
    need python3 python3
    cargo build --release
    tests/joram/run.sh --binary target/release/postrider --client 5 --runs 3 --args "--cores 2"
    tests/joram/run.sh --binary target/release/postrider --client 6 --runs 3 --args "--cores 2"
}

kills() {
    need javac openjdk-17-jdk-headless
    need mvn maven
    cargo build --release
    tests/interop/run.sh --binary target/release/postrider --tests KillTest --kills "$KILLS" --args "--storage direct --cores 2"
    tests/interop/run.sh --binary target/release/postrider --tests KillTest --kills "$KILLS" --args "--storage mapped --cores 2"
    need python3 python3
    tests/acceptance/flips.sh control
    tests/acceptance/flips.sh 60
}

hostile() {
    need strace strace
    need python3 python3
    cargo build --release
    tests/acceptance/hostile.sh control
    tests/acceptance/hostile.sh small
}

fuzz() {
    command -v cargo-fuzz >/dev/null || cargo install --quiet --locked cargo-fuzz
    rustup toolchain list | grep -q nightly || rustup toolchain install nightly --profile minimal
    tests/fuzz/run.sh "$FUZZ_SECONDS"
}

for suite in "${suites[@]}"; do
    say "$suite"
    "$suite"
done
say "all suites passed"
