"""Takes the brokers through the scenarios in turns (A B C A B C), one at a time."""

import datetime
import os
import shlex
import sys
import time

import brokers
from matrix import fetch, record, rows, scenarios, sizes, tables, words
from matrix.processes import prefix, split
from matrix.stage import Stage


class Runner:
    """All runs that were asked for."""

    def __init__(self, arguments):
        self.arguments, self.size = arguments, sizes.ALL[arguments.size]
        self.work = os.path.abspath(arguments.work)
        os.makedirs(self.work, exist_ok=True)
        broker_cores, load_cores = split(arguments.cores)
        self.pinned, load = prefix(broker_cores), prefix(load_cores)
        self.program = os.path.abspath(arguments.postrider)
        self.generator = [*load, self.program, "bench"]
        needs_client = any(scenario.group == scenarios.JAVA for scenario in arguments.chosen)
        self.client = [*load, *fetch.client(self.work)] if needs_client else None
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
        record.keep(os.path.join(self.work, "matrix.json"), self.kept(self.rows))

    def kept(self, found):
        said = {broker: setup(broker, self.arguments.serve) for broker in self.arguments.brokers}
        return {"machine": machine(), "brokers": said, "rows": found}

    def finish(self):
        if not self.rows:
            return
        if self.arguments.no_docs:
            record.write_apart(self.kept(self.rows), self.work)
            say(f"written: tables and pictures in {self.work}")
        else:
            record.add(self.kept(self.rows))
            say(f"written: {record.RECORD}, {record.PAGE} and pictures in {record.FOLDER}")


def machine():
    model = "unknown processor"
    with open("/proc/cpuinfo") as lines:
        for line in lines:
            if line.startswith("model name"):
                model = line.split(":")[1].strip()
                break
    return f"{os.uname().sysname} {os.uname().release}, {os.cpu_count()} cores ({model})"


def setup(broker, serve):
    """How a broker was set up."""
    if broker == "postrider":
        return f"postrider: its defaults {serve}".strip() + "."
    if broker == "activemq":
        options = " ".join(brokers.debian_options())
        return f"ActiveMQ 5.17.2: Debian's JVM options (`{options}`), KahaDB, journalDiskSyncStrategy ALWAYS."
    return (
        f"Artemis {fetch.ARTEMIS_VERSION}: what `artemis create` writes, with the journal's default buffer timeout "
        "(bench/compare/artemis/broker.xml), journal-datasync, and its JVM options (`-Xms512M -Xmx2G`, G1)."
    )


def told(scenario, row):
    begin = f"{tables.titled(scenario, row['step'])}: {row['broker']}: "
    if "failed" in row:
        return f"{begin}FAILED: {row['failed']}"
    median = rows.median([row])
    return (
        f"{begin}{words.number(tables.rate_of(median))}/s, p50 {words.time(row['p50_us'])}, p99 {words.time(row['p99_us'])}, "
        f"drained {words.number(row['drain_rate'])}/s, {words.number(row['cpu_per_million'])} CPU s/M, {words.check(median)}"
    )


def say(line):
    print(line, file=sys.stderr, flush=True)
