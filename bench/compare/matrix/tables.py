"""The medians as Markdown."""

from matrix import rows, scenarios, words

OURS = "postrider"
NAMES = {"postrider": "postrider", "activemq": "ActiveMQ", "artemis": "Artemis"}


def page(kept):
    """All that stands between the markers."""
    medians = rows.medians(kept["rows"])
    parts = [described(kept)]
    present = dict.fromkeys(key[0] for key in medians)
    for group in scenarios.GROUPS:
        chosen = [one for one in scenarios.ALL if one.group == group and one.name in present]
        if chosen:
            parts.append(f"#### {group}")
            if group == scenarios.OVERLOAD:
                parts.append(table(overload(medians, chosen)))
            parts += [
                table(beside(medians, chosen)),
                f"<details><summary>All figures</summary>\n\n{table(all_figures(medians, chosen))}\n\n</details>",
            ]
    failures = list(told_failures(medians))
    if failures:
        parts += ["#### What did not come to an end", "\n".join(failures)]
    return "\n\n".join(parts)


def described(kept):
    """What the reader has to know."""
    found = kept["rows"]
    loads = [one["load_average"] for one in found]
    days = " to ".join(ends(one["at"][:10] for one in found))
    runs = ends(median["runs"] for median in rows.medians(found).values())
    counted = f"{' to '.join(map(str, runs))} run{'s' if runs != [1] else ''}"
    said = " and ".join(sorted({one["size"] for one in found}))
    return " ".join(
        [
            f"{kept['machine']}; {days}; `--size {said}`, {counted} of each broker in turns.",
            *shared(found),
            f"Load average before a run {min(loads):.1f} to {max(loads):.1f}: of the run before, and of other work on the machine.",
            *(kept["brokers"][name] for name in NAMES if name in kept["brokers"]),
        ]
    )


def ends(values):
    """The least and the greatest, which may be one."""
    ordered = sorted(values)
    return list(dict.fromkeys([ordered[0], ordered[-1]]))


def shared(found):
    """Who had which cores."""
    for cores in dict.fromkeys(one["cores"] for one in found):
        if cores is None:
            yield "Broker and load share all cores."
        else:
            yield f"The broker has {cores} core{'s' if cores > 1 else ''}, the load the others."


def brokers_of(medians):
    found = {broker for _, _, broker in medians}
    return [broker for broker in NAMES if broker in found]


def steps_of(medians, name):
    return list(dict.fromkeys(step for scenario, step, _ in medians if scenario == name))


def titled(scenario, step):
    return f"{scenario.title}: {step}" if step else scenario.title


def beside(medians, chosen):
    """A row for each step, with the brokers side by side."""
    brokers = brokers_of(medians)
    names = [NAMES[broker] for broker in brokers]
    yield [
        "",
        "offered/s",
        f"delivered/s: {' / '.join(names)}",
        "p99",
        "broker CPU s per million",
        *(f"beside {NAMES[broker]}" for broker in brokers if broker != OURS),
    ]
    for scenario in chosen:
        for step in steps_of(medians, scenario.name):
            of = {broker: medians.get((scenario.name, step, broker)) for broker in brokers}
            yield [
                titled(scenario, step),
                " / ".join(dict.fromkeys(offered(median) for median in of.values() if median is not None)),
                " / ".join(cell(median, rate_of, words.number) for median in of.values()),
                " / ".join(cell(median, lambda median: median["p99_us"], words.time) for median in of.values()),
                " / ".join(
                    cell(median, lambda median: median["cpu_per_million"], words.number) for median in of.values()
                ),
                *(versus(of.get(OURS), median) for broker, median in of.items() if broker != OURS),
            ]


def overload(medians, chosen):
    """A row for each load and broker: whether what is too much takes anything from what it can do, and whether it comes back."""
    yield [
        "",
        "broker",
        "closed/s",
        "offered/s",
        "sent/s",
        "delivered/s",
        "backlog",
        "drained/s",
        "p99 at two thirds",
        "the same, of the closed run",
    ]
    for scenario in chosen:
        for broker in brokers_of(medians):
            closed, opened, after = (
                medians.get((scenario.name, step, broker)) for step in ("closed", "open", "two thirds")
            )
            if closed is None or opened is None:
                continue
            yield [
                scenario.title,
                NAMES[broker],
                words.number(closed["delivered_rate"]),
                offered(opened),
                words.number(opened["sent_rate"]),
                part(opened["delivered_rate"], closed["delivered_rate"]),
                words.number(opened["backlog"]),
                part(opened["drain_rate"], closed["delivered_rate"]),
                "-" if after is None else words.time(after["p99_us"]),
                words.time(closed["p99_us"]),
            ]


def part(rate, whole):
    """A rate, and how much of another one that is."""
    return (
        "-" if rate is None else f"{words.number(rate)} ({100 * rate / whole:.0f} %)" if whole else words.number(rate)
    )


def offered(median):
    """Messages a second that were due; else whether the load waited for what was under way, or for nothing."""
    if median["offered_rate"] is None:
        return "-" if not median["sent_rate"] else "closed" if median["closed"] else "all it can"
    return words.number(rounded(median["offered_rate"]))


def rounded(rate):
    return float(f"{rate:.3g}")


def rate_of(median):
    """Deliveries a second; of who only sends, what it sent."""
    return median["delivered_rate"] if median["delivered_rate"] is not None else median["sent_rate"]


def cell(median, figure, written):
    if median is None:
        return "-"
    if len(median["failures"]) > 0 and figure(median) is None:
        return "failed"
    return written(figure(median))


def versus(ours, other):
    """Rate and CPU a message beside another broker's."""
    if ours is None or other is None:
        return "-"
    rate, cpu = (
        None if not of(ours) or not of(other) else of(ours) / of(other)
        for of in (rate_of, lambda median: median["cpu_per_million"])
    )
    return "-" if rate is None and cpu is None else f"{words.times(rate)}, CPU {words.times(cpu)}"


def all_figures(medians, chosen):
    """A row for each step and broker."""
    yield [
        "",
        "broker",
        "offered/s",
        "sent/s",
        "delivered/s",
        "drained/s",
        "in",
        "p50",
        "p99",
        "backlog",
        "receipt p50, p99",
        "held",
        "CPU s/M",
        "MiB",
        "check",
    ]
    for scenario in chosen:
        for (name, step, broker), median in medians.items():
            if name == scenario.name:
                yield [titled(scenario, step), NAMES[broker], *figures(median)]


def figures(median):
    if median["sent_rate"] is None:
        return ["-"] * 12 + ["failed"]
    held = median["held"]
    return [
        offered(median),
        words.number(median["sent_rate"]),
        words.number(median["delivered_rate"]),
        words.number(median["drain_rate"]),
        "-" if median["drain_rate"] is None else words.time(median["drain_seconds"] * 1e6),
        words.time(median["p50_us"]),
        words.time(median["p99_us"]),
        words.number(median["backlog"]),
        (
            "-"
            if median["receipt_p50_us"] is None
            else f"{words.time(median['receipt_p50_us'])}, {words.time(median['receipt_p99_us'])}"
        ),
        f"{100 * held:.0f} %",
        words.number(median["cpu_per_million"]),
        words.number(median["memory_mib"]),
        words.check(median),
    ]


def told_failures(medians):
    titles = scenarios.BY_NAME
    for (name, step, broker), median in medians.items():
        for reason in median["failures"]:
            yield f"- {titled(titles[name], step)}, {NAMES[broker]}: {reason}"


def table(lines):
    header, *body = lines
    written = [header, ["---"] * len(header), *body]
    return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in written)
