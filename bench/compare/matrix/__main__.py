"""Measures the scenarios of the matrix on each broker in turns, and writes the tables and pictures of docs/benchmarks.md."""

import argparse
import signal
import sys

from matrix import record, runner, scenarios, sizes, tables
from matrix.processes import Failed, cores


def parse():
    parser = argparse.ArgumentParser(prog="run.sh --matrix", description=__doc__)
    parser.add_argument("--postrider", metavar="PROGRAM", help="the binary, which is the generator as well")
    parser.add_argument("--serve", default="", metavar="OPTIONS", help="more options for `postrider serve`")
    parser.add_argument("--size", choices=sizes.ALL, default="small", help="small: within 20 minutes [default]")
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help="these scenarios, or those whose names begin like this"
    )
    parser.add_argument("--list", action="store_true", help="list the scenarios")
    parser.add_argument("--brokers", default=",".join(tables.NAMES), help="separated by commas [default: %(default)s]")
    parser.add_argument("--repetitions", type=int, default=1, help="runs of each broker in each scenario [default: 1]")
    parser.add_argument("--cores", type=int, metavar="N", help="the broker gets the first N cores, the load the others")
    parser.add_argument("--minutes", type=float, help="what has not begun by then is left out [default: the size's]")
    parser.add_argument("--work", default="target/compare", help="directory for data, on the disk to be measured")
    parser.add_argument("--no-docs", action="store_true", help="write to the directory of --work alone")
    parser.add_argument(
        "--draw", action="store_true", help="measure nothing: write page and pictures from bench/matrix.json"
    )
    arguments = parser.parse_args()
    arguments.brokers = arguments.brokers.split(",")
    unknown = [name for name in arguments.brokers if name not in tables.NAMES]
    if unknown:
        parser.error(f"--brokers: {', '.join(unknown)}: there are {', '.join(tables.NAMES)}")
    if not arguments.postrider and not arguments.list and not arguments.draw:
        parser.error("--postrider is missing: the generator is part of it")
    if arguments.cores is not None and not 0 < arguments.cores <= len(cores()):
        parser.error(f"--cores is 1 to {len(cores())}")
    try:
        arguments.chosen = scenarios.chosen(arguments.only)
    except KeyError as unknown:
        parser.error(f"--only: there is no scenario {unknown.args[0]}; --list has them all")
    return arguments


def main():
    arguments = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))
    if arguments.list:
        for scenario in arguments.chosen:
            print(f"{scenario.name:16}{scenario.group}: {scenario.title}")
    elif arguments.draw:
        record.draw()
    else:
        runner.Runner(arguments).measure()


if __name__ == "__main__":
    try:
        main()
    except Failed as failed:
        sys.exit(str(failed))
