"""Measures brokers in turns (A B A B ...), each run on a freshly started broker with an empty data directory."""

import argparse
import json
import os
import shlex
import subprocess
import sys

import brokers
import table

HERE = os.path.dirname(os.path.abspath(__file__))
# A producer that wants no receipts outruns any consumer; with a bound on what is under way both brokers are measured
# at a steady state instead of at how they store a growing backlog.
BACKLOG = ["--backlog", "20000"]
SCENARIOS = {
    "persistent, 4 producers, window 64, 4 consumers, 4 queues": "-p 4 -c 4 -d 4 --window 64".split(),
    "persistent, 16 producers one at a time, 4 consumers, 4 queues": "-p 16 -c 4 -d 4 --window 1".split(),
    "non-persistent queue 1:1": ["--non-persistent", *BACKLOG],
    "non-persistent topic 1:4": ["--non-persistent", "--topic", "-c", "4", *BACKLOG],
}


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--postrider", metavar="PROGRAM", help="the binary; without it only ActiveMQ is measured")
    parser.add_argument("--serve", default="", metavar="OPTIONS", help="more options for `postrider serve`")
    parser.add_argument("--load", metavar="COMMAND", help="the generator [default: `PROGRAM bench`]")
    parser.add_argument("--without-activemq", action="store_true", help="measure postrider alone")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10, help="measured seconds of a run")
    parser.add_argument("--warm-up", type=float, default=15, help="seconds before that, for the JVM's sake; for both")
    parser.add_argument("--size", type=int, default=256, help="characters of a message")
    parser.add_argument("--scenarios", default="1,2,3,4", help="their numbers, separated by commas")
    parser.add_argument("--work", default="target/compare", help="directory for data, on the disk to be measured")
    parser.add_argument("--results", help="file for JSON lines, appended to [default: WORK/results.jsonl]")
    arguments = parser.parse_args()
    if not arguments.postrider and (arguments.without_activemq or not arguments.load):
        parser.error("--postrider is missing (for ActiveMQ alone: --load COMMAND)")
    return arguments


def main():
    arguments = parse()
    work = os.path.abspath(arguments.work)
    os.makedirs(work, exist_ok=True)
    path = arguments.results or os.path.join(work, "results.jsonl")
    load = shlex.split(arguments.load) if arguments.load else [os.path.abspath(arguments.postrider), "bench"]
    starts = {}
    if arguments.postrider:
        program = os.path.abspath(arguments.postrider)
        starts["postrider"] = lambda: brokers.postrider(program, shlex.split(arguments.serve), work)
    if not arguments.without_activemq:
        starts["activemq"] = lambda: brokers.activemq(work)
    numbers = [int(number) - 1 for number in arguments.scenarios.split(",")]
    describe(arguments, starts)
    results = []
    with open(path, "a") as kept:
        for scenario in [list(SCENARIOS)[number] for number in numbers]:
            for repetition in range(arguments.repetitions):
                for name, start in starts.items():
                    result = measure(arguments, load, scenario, name, start)
                    result["repetition"] = repetition
                    kept.write(json.dumps(result) + "\n")
                    kept.flush()
                    results.append(result)
    print()
    table.print_table(results)
    return 0 if all(result["exit_code"] == 0 for result in results) else 1


def measure(arguments, load, scenario, name, start):
    load_before = os.getloadavg()[0]
    with start() as broker:
        command = [*load, f"127.0.0.1:{broker.port}", *SCENARIOS[scenario], "--json"]
        command += ["--size", str(arguments.size), "--broker-pid", str(broker.pid)]
        command += ["--warm-up", str(arguments.warm_up), "--seconds", str(arguments.seconds)]
        run = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if run.returncode not in (0, 1):
        raise SystemExit(f"{name}: {shlex.join(command)} ended with {run.returncode}")
    report = json.loads(run.stdout)
    result = {"scenario": scenario, "broker": name, "exit_code": run.returncode, "load_average": load_before}
    result["report"] = report
    rate, cpu = table.rate(result), table.cpu(result)
    verdict = "" if run.returncode == 0 else f", CHECK FAILED: {report['verification']}"
    print(f"{scenario}: {name}: {rate:,.0f}/s, {cpu:.2f} CPU s per million{verdict}", file=sys.stderr)
    return result


def describe(arguments, starts):
    """What the reader of the table has to know."""
    print(f"{os.uname().sysname} {os.uname().release}, {os.cpu_count()} cores; {arguments.size} characters;")
    print(f"{arguments.repetitions} runs each in turns, {arguments.warm_up:g} s warm-up, {arguments.seconds:g} s measured;")
    print("loose encoding with cache, one acknowledgement a message; persistent: a sync before each receipt.")
    if "postrider" in starts:
        print(f"postrider: defaults {arguments.serve}".rstrip() + ".")
    if "activemq" in starts:
        options = " ".join(brokers.debian_options())
        print(f"ActiveMQ: Debian's package and JVM options ({options}), KahaDB, journalDiskSyncStrategy ALWAYS.")


if __name__ == "__main__":
    sys.exit(main())
