"""How long and how large everything is: `small` for a look within 20 minutes, `whole` for figures that count."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """Seconds, unless said."""

    name: str
    # Before everything that is measured on a fresh broker, for the JVM's sake; for all alike.
    warm_up: float
    # Measured: closed runs, floods, what comes at a given rate, the runs at two thirds after a flood.
    closed: float
    flood: float
    rate: float
    after: float
    # The longest wait for what is under way when the senders have ended.
    drain: float
    # Messages into an idle queue; messages that wait while others go through.
    burst: int
    waiting: int
    # Messages a second of each of a thousand producers.
    each: float
    # All of it: what has not begun by then is left out. None: as long as it takes.
    minutes: float | None


SMALL = Size("small", 5, 2, 3, 3, 2, 6, burst=200_000, waiting=100_000, each=1, minutes=18.5)
WHOLE = Size("whole", 15, 10, 60, 20, 10, 300, burst=1_000_000, waiting=1_000_000, each=100, minutes=None)
ALL = {size.name: size for size in (SMALL, WHOLE)}
