#!/bin/sh
# Runs every planted bug until a seed catches it; fails when one is not caught within 300 seeds.
#   tests/sim/plants.sh [BEGIN...]      where the ranges of seeds begin: all are tried; the big size has three (default: 0)
# PLANT=NAME runs that one alone. Prints the table of docs/simulation.md: rule, plant, seeds to catch from each beginning.
set -u
cd "$(dirname "$0")/../.." || exit 2
cargo build --release --quiet -p sim || exit 2
sim="${CARGO_TARGET_DIR:-target}/release/sim"
missed=0
list="${TMPDIR:-/tmp}/sim-plants.$$"
[ $# -gt 0 ] || set -- 0

# Seeds until one catches the plant $1 in the range that begins at $2; nothing if none does.
catch() {
    output=$(timeout 300 "$sim" --seeds "$2..$(($2 + 300))" --plant "$1")
    [ $? -eq 1 ] || return
    seed=$(printf '%s\n' "$output" | sed -n 's/^seed \([0-9]*\)$/\1/p')
    [ -z "$seed" ] || echo $((seed - $2 + 1))
}

echo "| rule | plant | seeds to catch |"
echo "|---|---|---|"
"$sim" --list-plants >"$list"
while IFS="$(printf '\t')" read -r name rule; do
    [ -z "${PLANT:-}" ] || [ "$PLANT" = "$name" ] || continue
    caught=""
    for begin in "$@"; do
        seeds=$(catch "$name" "$begin")
        [ -n "$seeds" ] || { seeds="**not caught**" && missed=$((missed + 1)); }
        caught="$caught${caught:+, }$seeds"
    done
    echo "| $rule | \`$name\` | $caught |"
done <"$list"
rm -f "$list"
[ "$missed" -eq 0 ] || { echo "$missed times a planted bug was not caught" >&2; exit 1; }
