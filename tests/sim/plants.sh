#!/bin/sh
# Runs every planted bug until a seed catches it; fails when one is not caught within 3,000 seeds or 60 seconds.
# Prints the table of docs/simulation.md: rule, plant, seeds to catch.
set -u
cd "$(dirname "$0")/../.." || exit 2
cargo build --release --quiet -p sim || exit 2
sim="${CARGO_TARGET_DIR:-target}/release/sim"
only="${1:-}"
missed=0
echo "| rule | plant | seeds to catch |"
echo "|---|---|---|"
"$sim" --list-plants >"${TMPDIR:-/tmp}/sim-plants.$$"
while IFS="$(printf '\t')" read -r name rule; do
    [ -n "$only" ] && [ "$only" != "$name" ] && continue
    output=$(timeout 60 "$sim" --seeds 0..3000 --plant "$name")
    status=$?
    seed=$(printf '%s\n' "$output" | sed -n 's/^seed \([0-9]*\)$/\1/p')
    if [ "$status" -eq 1 ] && [ -n "$seed" ]; then
        echo "| $rule | \`$name\` | $((seed + 1)) |"
    else
        echo "| $rule | \`$name\` | **not caught** |"
        missed=$((missed + 1))
    fi
done <"${TMPDIR:-/tmp}/sim-plants.$$"
rm -f "${TMPDIR:-/tmp}/sim-plants.$$"
[ "$missed" -eq 0 ] || { echo "$missed planted bugs were not caught" >&2; exit 1; }
