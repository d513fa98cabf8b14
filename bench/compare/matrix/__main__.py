"""Measures the scenarios of the matrix on each broker in turns, and writes the tables and pictures of docs/benchmarks.md."""

import argparse
import datetime
import json
import os
import shlex
import signal
import sys
import time

import brokers
from matrix import fetch, pages, pictures, rows, scenarios, sizes, tables, words
from matrix.processes import Failed, prefix
from matrix.stage import Stage

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
RECORD = os.path.join(ROOT, "bench", "matrix.json")
PAGE = os.path.join(ROOT, "docs", "benchmarks.md")
ACTIVEMQ_VERSION = "5.17.2"
PICTURES = {"matrix-rates.svg": pictures.RATES, "matrix-cpu.svg": pictures.CPU, "matrix-p99.svg": pictures.LATENCY}


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
        write(read(RECORD), PAGE, os.path.join(ROOT, "docs", "pictures"))
    else:
        Matrix(arguments).measure()


class Matrix:
    """All runs that were asked for."""

    def __init__(self, arguments):
        self.arguments, self.size = arguments, sizes.ALL[arguments.size]
        self.work = os.path.abspath(arguments.work)
        os.makedirs(self.work, exist_ok=True)
        broker_cores, load_cores = split(arguments.cores)
        self.pinned, load = prefix(broker_cores), prefix(load_cores)
        self.program = os.path.abspath(arguments.postrider)
        self.generator = [*load, self.program, "bench"]
        self.client = (
            [*load, *fetch.client(self.work)] if any(one.group == scenarios.JAVA for one in arguments.chosen) else None
        )
        self.artemis = fetch.artemis() if "artemis" in arguments.brokers else None
        self.rows = []

    def start(self, broker):
        if broker == "postrider":
            return brokers.postrider(self.program, shlex.split(self.arguments.serve), self.work, self.pinned)
        if broker == "activemq":
            return brokers.activemq(self.work, self.pinned)
        return brokers.artemis(self.artemis, self.work, self.pinned)

    def measure(self):
        minutes = self.arguments.minutes or self.size.minutes
        latest = time.monotonic() + 60 * minutes if minutes else float("inf")
        for scenario in self.arguments.chosen:
            for repetition in range(self.arguments.repetitions):
                for broker in self.arguments.brokers:
                    if time.monotonic() > latest:
                        say(f"{scenario.name}: {broker}: left out, as {minutes:g} minutes are over")
                    else:
                        self.run(scenario, repetition, broker)
        self.finish()

    def run(self, scenario, repetition, broker):
        labels = {
            "scenario": scenario.name,
            "broker": broker,
            "repetition": repetition,
            "size": self.size.name,
            "at": datetime.datetime.now().isoformat(timespec="seconds"),
            "load_average": round(os.getloadavg()[0], 2),
            "cores": self.arguments.cores,
        }
        try:
            with Stage(self.size, self.start(broker), self.generator, self.client, labels) as stage:
                try:
                    scenario.perform(stage)
                finally:
                    self.rows += stage.rows
            found = stage.rows
        except brokers.NotStarted as reason:
            found = [{**labels, "step": "", **rows.failure(" ".join(str(reason).split())[-300:])}]
            self.rows += found
        for row in found:
            say(told(scenario, row))
        keep(os.path.join(self.work, "matrix.json"), self.kept(self.rows))

    def kept(self, found):
        return {"machine": machine(), "brokers": described(self.arguments), "rows": found}

    def finish(self):
        if not self.rows:
            return
        if self.arguments.no_docs:
            page = os.path.join(self.work, "matrix.md")
            begin, end = pages.marks("matrix")
            with open(page, "w") as file:
                file.write(f"{begin}\n{end}\n")
            write(self.kept(self.rows), page, self.work)
            return
        merged = rows.merged(read(RECORD) if os.path.exists(RECORD) else None, self.kept(self.rows))
        keep(RECORD, merged)
        write(merged, PAGE, os.path.join(ROOT, "docs", "pictures"))


def cores():
    return sorted(os.sched_getaffinity(0))


def split(count):
    """The broker's cores and those of the load; where none are left, it shares the broker's."""
    if count is None:
        return [], []
    return cores()[:count], cores()[count:] or cores()


def machine():
    model = "unknown processor"
    with open("/proc/cpuinfo") as lines:
        for line in lines:
            if line.startswith("model name"):
                model = line.split(":")[1].strip()
                break
    return f"{os.uname().sysname} {os.uname().release}, {os.cpu_count()} cores ({model})"


def described(arguments):
    """How each of the brokers was set up."""
    said = {
        "postrider": f"postrider: its defaults {arguments.serve}".strip() + ".",
        "activemq": f"ActiveMQ {ACTIVEMQ_VERSION}: Debian's JVM options (`{' '.join(brokers.debian_options())}`), KahaDB, "
        "journalDiskSyncStrategy ALWAYS.",
        "artemis": f"Artemis {fetch.ARTEMIS_VERSION}: what `artemis create` writes, with the journal's default buffer timeout "
        "(bench/compare/artemis/broker.xml), journal-datasync, and its JVM options (`-Xms512M -Xmx2G`, G1).",
    }
    return {name: said[name] for name in arguments.brokers}


def told(scenario, row):
    begin = f"{tables.titled(scenario, row['step'])}: {row['broker']}: "
    if "failed" in row:
        return f"{begin}FAILED: {row['failed']}"
    median = rows.median([row])
    return (
        f"{begin}{words.number(tables.rate_of(median))}/s, p50 {words.time(row['p50_us'])}, p99 {words.time(row['p99_us'])}, "
        f"drained {words.number(row['drain_rate'])}/s, {words.number(row['cpu_per_million'])} CPU s/M, {words.check(median)}"
    )


def write(kept, page, directory):
    pages.rewrite(page, "matrix", tables.page(kept))
    os.makedirs(directory, exist_ok=True)
    for name, what in PICTURES.items():
        with open(os.path.join(directory, name), "w") as file:
            file.write(pictures.draw(kept, what))
    say(f"written: {page} and {', '.join(PICTURES)} in {directory}")


def read(path):
    with open(path) as file:
        return json.load(file)


def keep(path, kept):
    """A run a line, so that a change of one shows as such."""
    head = {name: value for name, value in kept.items() if name != "rows"}
    lines = ",\n".join(json.dumps(row) for row in kept["rows"])
    with open(path, "w") as file:
        file.write(f'{json.dumps(head)[:-1]}, "rows": [\n{lines}\n]}}\n')


def say(line):
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        main()
    except Failed as failed:
        sys.exit(str(failed))
