#!/usr/bin/env bash
# Counts the instructions that one canonical message takes in decoding, in the broker's turn and in encoding, and compares with
# the kept counts. Usage: bench/instructions.sh [--accept]
#
#   exit 0: no count has risen by more than 3 %; 1: one has; 2: nothing could be counted.
#   --accept: keeps what was measured. A commit that raises a count on purpose says why.
#
# Callgrind is run directly on a program that has one function for what is counted (bench/src/bin/instructions.rs). Gungraun does
# the same underneath; its runner would be 200 crates to build in each CI run, and keeps its counts below target/, not here.
#
# Why a count depends on neither the machine nor the run:
# - the toolchain is 1.95, by name where rustup has it;
# - hash seeds, journal keys, times and identifiers are constants of the benches;
# - crc32fast, memchr and the C library choose their code by what the processor says, and the processor is Valgrind's: it says
#   the same on every x86-64 machine with AVX2. GLIBC_TUNABLES takes the wider variants of memcpy and memcmp away all the same,
#   so that what a later Valgrind adds to its processor changes nothing there. A machine without AVX2 or of another architecture
#   cannot compare, and the script says so.
#
# What is left: any change of a crate may change what the compiler inlines elsewhere in it. In one commit that did not touch the
# way of a message, decode rose by 2.4 % and the acknowledgement's fell by 5 %. A rise without a cause in the source is such a one.
set -euo pipefail
cd "$(dirname "$0")/.."

kept=bench/instructions.json
limit_percent=3

fail() {
    echo "instructions.sh: $1" >&2
    exit 2
}

accept=no
case "${1:-}" in
    "") ;;
    --accept) accept=yes ;;
    *) fail "unknown argument $1: use --accept or nothing" ;;
esac

command -v valgrind > /dev/null || fail "valgrind is missing: install the package valgrind"
[[ -e $kept || $accept == yes ]] || fail "$kept is missing: bench/instructions.sh --accept makes it"
grep -qw avx2 /proc/cpuinfo || fail "the counts are those of an x86-64 processor with AVX2, which this machine has not"

toolchain=()
if cargo +1.95.0 --version > /dev/null 2>&1; then
    toolchain=(+1.95.0)
elif [[ "$(rustc --version)" != "rustc 1.95."* ]]; then
    fail "the counts are those of Rust 1.95: install it with 'rustup toolchain install 1.95.0'"
fi

cargo "${toolchain[@]}" build --quiet --release --package postrider-bench --bin instructions
program="${CARGO_TARGET_DIR:-target}/release/instructions"

# Instructions per message of a routine.
count() {
    local messages=$1 name=$2 collected
    collected=$(GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX512VL,-AVX2,-AVX2_Usable,-AVX_Fast_Unaligned_Load,-ERMS,-FSRM \
        valgrind --tool=callgrind --callgrind-out-file=/dev/null --toggle-collect='*counted_section*' \
        "$program" "$name" 2>&1 | awk '/Collected/ { print $4 }')
    [[ "$collected" =~ ^[1-9][0-9]*$ ]] || fail "callgrind has counted nothing in '$name': run it by hand to see why"
    echo $((collected / messages))
}

# Keeps what was measured, one count a line.
keep() {
    awk '
        BEGIN { print "{" }
        { count = $1; sub(/^[0-9]+ /, ""); lines[NR] = "  \"" $0 "\": " count }
        END { for (line = 1; line <= NR; line++) print lines[line] (line < NR ? "," : ""); print "}" }
    ' "$measured" > "$kept"
}

measured=$(mktemp)
trap 'rm -f "$measured"' EXIT
"$program" | while read -r messages name; do
    instructions=$(count "$messages" "$name")
    echo "$instructions $name"
done > "$measured"

if [[ ! -e $kept ]]; then
    keep
    exit 0
fi

status=0
awk -v limit=$limit_percent '
    FNR == NR && /":/ { split($0, parts, "\""); count = parts[3]; gsub(/[^0-9]/, "", count); kept[parts[2]] = count }
    FNR == NR { next }
    FNR == 1 { printf "%-28s %10s %10s %9s\n", "instructions a message", "kept", "measured", "change" }
    {
        count = $1; sub(/^[0-9]+ /, "")
        if (!($0 in kept)) { printf "%-28s %10s %10d %9s\n", $0, "-", count, "new"; risen = 1; next }
        change = 100 * (count - kept[$0]) / kept[$0]
        verdict = change > limit ? "  RISEN" : ""
        printf "%-28s %10d %10d %+8.1f%%%s\n", $0, kept[$0], count, change, verdict
        if (change > limit) risen = 1
    }
    END { exit risen }
' "$kept" "$measured" || status=1

if [[ $accept == yes ]]; then
    keep
    echo "kept in $kept"
elif ((status)); then
    echo "More than $limit_percent % above $kept, or not in it. If that is the price of something: bench/instructions.sh --accept,"
    echo "and say in the commit what it buys."
    exit 1
fi
