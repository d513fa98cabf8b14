"""Figures as people read them."""


def number(value):
    """With commas; small ones with as many digits as say something."""
    if value is None:
        return "-"
    if not value:
        return "0"
    return f"{value:,.0f}" if isinstance(value, int) or value >= 100 else digits(value)


def short(value):
    """A round number, for an axis."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def time(microseconds):
    if microseconds is None:
        return "-"
    for unit, size in (("s", 1e6), ("ms", 1e3)):
        if microseconds >= size:
            return f"{digits(microseconds / size)} {unit}"
    return f"{digits(microseconds)} us"


def digits(value):
    """Three digits that count."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def times(ratio):
    """How many times as much; of less than half, its fraction."""
    if ratio is None:
        return "-"
    return f"1/{digits(1 / ratio)}" if ratio < 0.5 else f"{digits(ratio)} x"


def check(median):
    """What went wrong, over all runs."""
    faults = [
        f"{median[name]:,} {name.replace('_', ' ')}"
        for name in ("lost", "duplicated", "out_of_order", "altered")
        if median[name]
    ]
    if median["left"]:
        faults.append(f"{median['left']:,} not there when the wait was over")
    return ", ".join(faults) or "clean"
