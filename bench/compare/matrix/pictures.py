"""The medians as bars: one SVG file without anything from elsewhere, for light and dark pages, in the colours of the ramp's."""

import math
from xml.sax.saxutils import escape

from matrix import rows, scenarios, tables, words

WIDTH, LEFT, RIGHT = 960, 330, 850
TOP, BAR, GAP, HEADING = 76, 9, 9, 28
CLASSES = ["one", "two", "three", "four"]
LIGHT = ("#ffffff", "#1f2328", "#59636e", "#d8dee4", "#cf222e", ["#0969da", "#bc4c00", "#8250df", "#1a7f37"])
DARK = ("#0d1117", "#e6edf3", "#9198a1", "#30363d", "#f85149", ["#58a6ff", "#f0883e", "#bc8cff", "#3fb950"])

RATES = ("Deliveries a second", "logarithmic; more is better", tables.rate_of, words.number)
CPU = (
    "CPU seconds of the broker per million deliveries",
    "logarithmic; less is better",
    lambda median: median["cpu_per_million"],
    words.number,
)
LATENCY = (
    "99th percentile of latency, from when a message was due",
    "logarithmic; less is better",
    lambda median: median["p99_us"],
    words.time,
)


def draw(kept, what):
    """The picture of one figure, for all scenarios that were measured."""
    title, hint, figure, written = what
    medians = rows.medians(kept["rows"])
    brokers = tables.brokers_of(medians)
    lines = list(laid_out(medians, brokers, figure))
    values = [value for _, _, bars in lines for value in bars if value]
    low, high = bounds(values)
    height = (lines[-1][0] + len(brokers) * BAR + GAP if lines else TOP) + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">',
        f"<title>{escape(title)}</title>",
        sheet(),
        f'<rect class="page" width="{WIDTH}" height="{height}"/>',
        text("title", 16, 26, title),
        text("faint", 16, 46, hint),
    ]
    for index, broker in enumerate(brokers):
        x = LEFT + index * 110
        parts += [
            f'<rect class="{CLASSES[index]}" x="{x}" y="38" width="10" height="10"/>',
            text("", x + 15, 47, tables.NAMES[broker]),
        ]
    for tick in ticks(low, high):
        x = place(tick, low, high)
        parts += [
            f'<line class="grid" x1="{x:.1f}" y1="{TOP - 8}" x2="{x:.1f}" y2="{height - 24}"/>',
            text("faint", x, height - 8, words.time(tick) if written is words.time else words.short(tick), "middle"),
        ]
    for y, label, bars in lines:
        if bars == []:
            parts.append(text("heading", 16, y + 14, label))
            continue
        parts.append(text("", LEFT - 8, y + len(brokers) * BAR / 2 + 4, label, "end"))
        for index, value in enumerate(bars):
            foot = y + index * BAR
            if value is None:
                continue
            if not value:
                parts.append(text("failed", LEFT + 3, foot + BAR - 1, "failed"))
                continue
            end = place(value, low, high)
            parts.append(
                f'<rect class="{CLASSES[index]}" x="{LEFT}" y="{foot}" width="{max(end - LEFT, 1):.1f}" height="{BAR - 1}"/>'
            )
            parts.append(text("value", max(end, LEFT + 1) + 4, foot + BAR - 1, written(value)))
    return "\n".join([*parts, "</svg>", ""])


def laid_out(medians, brokers, figure):
    """Where what stands: a heading for each group, and a block of bars for each step. A bar is None where nothing was measured,
    and 0 where it failed."""
    y = TOP
    for group in scenarios.GROUPS:
        blocks = []
        for scenario in scenarios.ALL:
            if scenario.group != group:
                continue
            for step in tables.steps_of(medians, scenario.name):
                found = [medians.get((scenario.name, step, broker)) for broker in brokers]
                bars = [bar(median, figure) for median in found]
                if any(value is not None for value in bars):
                    blocks.append((tables.titled(scenario, step), bars))
        if not blocks:
            continue
        yield y, group, []
        y += HEADING
        for label, bars in blocks:
            yield y, label, bars
            y += len(brokers) * BAR + GAP


def bar(median, figure):
    if median is None:
        return None
    value = figure(median)
    return value or (0 if median["failures"] else None)


def bounds(values):
    """Whole decades around all values."""
    if not values:
        return 1.0, 10.0
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    # The shortest bar can be seen, too.
    low -= min(values) < 10**low * 1.5
    return 10.0**low, 10.0 ** max(high, low + 1)


def place(value, low, high):
    part = math.log10(value / low) / math.log10(high / low)
    return LEFT + (RIGHT - LEFT) * min(max(part, 0), 1)


def ticks(low, high):
    """Whole decades, ten at most."""
    decades = round(math.log10(high / low))
    return [low * 10.0**decade for decade in range(0, decades + 1, decades // 10 + 1)]


def text(kind, x, y, words_of_it, anchor="start"):
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words_of_it)}</text>'


def sheet():
    shapes = (
        "text { font: 12px system-ui, sans-serif; }\n.title { font-size: 16px; font-weight: 600; }\n.heading { font-weight: 600; }\n"
        ".faint { font-size: 11px; }\n.value, .failed { font-size: 9px; }\n"
    )
    return f"<style>\n{shapes}{rules(*LIGHT)}@media (prefers-color-scheme: dark) {{\n{rules(*DARK)}}}\n</style>"


def rules(page, ink, faint, grid, failed, colours):
    bars = "".join(f"rect.{name} {{ fill: {colour}; }}\n" for name, colour in zip(CLASSES, colours))
    return (
        f"text {{ fill: {ink}; }}\n.page {{ fill: {page}; }}\n.grid {{ stroke: {grid}; }}\ntext.faint, text.value {{ fill: {faint}; }}\n"
        f"text.failed {{ fill: {failed}; }}\n{bars}"
    )
