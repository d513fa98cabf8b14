"""Medians and ratios of the kept results, as a Markdown table.

    python3 bench/compare/table.py RESULTS.jsonl
"""

import json
import statistics
import sys


def read(path):
    with open(path) as lines:
        return [json.loads(line) for line in lines if line.strip()]


def spread(values, digits):
    """The median, and least and greatest in brackets."""
    low, high = min(values), max(values)
    return f"{statistics.median(values):,.{digits}f} ({low:,.{digits}f}-{high:,.{digits}f})"


def cpu(result):
    return result["report"]["cpu"]["broker_seconds_per_million"]


def rate(result):
    return result["report"]["messages"]["delivery_rate"]


def latency(result, name):
    found = result["report"][name]
    return found["p50"] if found else None


def median_latency(results, name):
    values = [value for value in (latency(result, name) for result in results) if value is not None]
    return f"{statistics.median(values):,.0f}" if values else "-"


def rows(results):
    for scenario in dict.fromkeys(result["scenario"] for result in results):
        chosen = [result for result in results if result["scenario"] == scenario]
        brokers = dict.fromkeys(result["broker"] for result in chosen)
        of = {broker: [result for result in chosen if result["broker"] == broker] for broker in brokers}
        for broker, own in of.items():
            yield [
                scenario,
                broker,
                spread([rate(result) for result in own], 0),
                spread([cpu(result) for result in own], 2),
                median_latency(own, "receipt_latency_us"),
                median_latency(own, "delivery_latency_us"),
                "" if broker == "activemq" or "activemq" not in of else ratios(own, of["activemq"]),
            ]


def ratios(own, other):
    def median(results, value):
        return statistics.median([value(result) for result in results])

    faster = median(own, rate) / median(other, rate)
    cheaper = median(other, cpu) / max(median(own, cpu), 1e-9)
    return f"{faster:.1f} x the rate, 1/{cheaper:.1f} of the CPU"


def print_table(results):
    header = [
        "scenario",
        "broker",
        "deliveries/s, median (range)",
        "broker CPU s per million deliveries",
        "p50 receipt us",
        "p50 delivery us",
        "beside ActiveMQ",
    ]
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for row in rows(results):
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    print_table(read(sys.argv[1]))
