"""Reports and rows for the tests."""

REPORT = {
    "messages": {"send_rate": 900.0, "delivery_rate": 800.0},
    "held": 0.25,
    "receipt_latency_us": None,
    "delivery_latency_us": {"p50": 100.0, "p99": 2_000.0},
    "cpu": {"per": "deliveries", "broker_seconds_per_million": 4.0},
    "drain": {"backlog": 300, "left": 0, "seconds": 2.0, "delivery_rate": 150.0},
    "verification": {"lost": 0, "duplicated": 0, "out_of_order": 0, "altered": 0},
}


def report(**parts):
    """The report with some of its parts changed."""
    return {name: {**value, **parts[name]} if name in parts else value for name, value in REPORT.items()}


def row(scenario="queue-1", step="closed", broker="postrider", **figures):
    return {
        **{"scenario": scenario, "step": step, "broker": broker, "repetition": 0, "size": "small"},
        **{"at": "2026-01-02T03:04:05", "load_average": 0.5, "cores": None, "offered_rate": None, "closed": True},
        **{"sent_rate": 1000.0, "delivered_rate": 1000.0, "drain_rate": None, "drain_seconds": 0.01},
        **{"p50_us": 100.0, "p99_us": 500.0, "receipt_p50_us": None, "receipt_p99_us": None},
        **{"backlog": 10, "left": 0, "held": 0.0, "cpu_per_million": 2.0},
        **{"lost": 0, "duplicated": 0, "out_of_order": 0, "altered": 0},
        **figures,
    }


def failed(reason="it broke", **labels):
    labels = {"scenario": "queue-1", "step": "closed", "broker": "artemis", **labels}
    return {
        **labels,
        "repetition": 0,
        "size": "small",
        "at": "2026-01-02T03:04:05",
        "load_average": 0.5,
        "cores": None,
        "failed": reason,
    }


def kept(*rows):
    return {"machine": "a machine", "brokers": {"postrider": "postrider: as it comes."}, "rows": list(rows)}
