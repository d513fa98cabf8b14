"""The figures of one run, as they are kept, and the medians of several."""

import statistics

FAULTS = ["lost", "duplicated", "out_of_order", "altered"]
# Figures of which the median of several runs is taken.
FIGURES = [
    "offered_rate",
    "sent_rate",
    "delivered_rate",
    "drain_rate",
    "drain_seconds",
    "p50_us",
    "p99_us",
    "receipt_p50_us",
    "receipt_p99_us",
    "backlog",
    "held",
    "cpu_per_million",
    "memory_mib",
]
# Shorter drains say nothing about a rate.
SHORTEST_DRAIN = 0.1


def row(report, offered, closed):
    """The figures of a report of the generator, or of the Java client, which writes the same. `offered` is the rate at which
    messages were due, if there was one, and `closed` whether senders waited for what was under way."""
    messages, drain, verdict = report["messages"], report["drain"], report["verification"]
    has_consumers = report["cpu"]["per"] != "sends"
    latency, receipt = report["delivery_latency_us"] or {}, report["receipt_latency_us"] or {}
    # What was still missing when the wait was over is not lost yet.
    left = drain["left"] if has_consumers else 0
    # A broker that did nothing of it has no cost of it.
    has_done = messages["delivery_rate"] if has_consumers else messages["send_rate"]
    return {
        "offered_rate": offered,
        "closed": closed,
        "sent_rate": messages["send_rate"],
        "delivered_rate": messages["delivery_rate"] if has_consumers else None,
        "drain_rate": drain["delivery_rate"] if drain["seconds"] >= SHORTEST_DRAIN else None,
        "drain_seconds": drain["seconds"],
        "p50_us": latency.get("p50"),
        "p99_us": latency.get("p99"),
        "receipt_p50_us": receipt.get("p50"),
        "receipt_p99_us": receipt.get("p99"),
        "backlog": drain["backlog"] if has_consumers else None,
        "left": left,
        "held": report["held"],
        "cpu_per_million": report["cpu"]["broker_seconds_per_million"] if has_done else None,
        "lost": max(verdict["lost"] - left, 0),
        "duplicated": verdict["duplicated"],
        "out_of_order": verdict["out_of_order"],
        "altered": verdict["altered"],
    }


def failure(reason):
    return {"failed": reason}


def merged(old, new):
    """What was kept before, but for scenarios that were measured again on the same brokers, and what is kept newly."""
    if old is None:
        return new
    again = {(row["scenario"], row["broker"]) for row in new["rows"]}
    rows = [row for row in old["rows"] if (row["scenario"], row["broker"]) not in again]
    return {**new, "brokers": {**old["brokers"], **new["brokers"]}, "rows": rows + new["rows"]}


def medians(rows):
    """By scenario, step and broker, in the order of their first appearance: medians, and the sums of what went wrong."""
    found = {}
    for one in rows:
        found.setdefault((one["scenario"], one["step"], one["broker"]), []).append(one)
    return {key: median(own) for key, own in found.items()}


def median(rows):
    done = [one for one in rows if "failed" not in one]
    result = {name: median_of(one.get(name) for one in done) for name in FIGURES}
    result.update({name: sum(one[name] for one in done) for name in [*FAULTS, "left"]})
    result["closed"] = any(one["closed"] for one in done)
    result["runs"] = len(rows)
    result["failures"] = list(dict.fromkeys(one["failed"] for one in rows if "failed" in one))
    return result


def median_of(values):
    present = [value for value in values if value is not None]
    return statistics.median(present) if present else None


def ratio(one, other, name):
    """How many times as much the first has of a figure as the second; None if either has none."""
    if one is None or other is None or not one.get(name) or not other.get(name):
        return None
    return one[name] / other[name]
