"""The scenarios: each is performed on a stage, which has one broker, and leaves rows there."""

from dataclasses import dataclass

# Deliveries under way for each consumer in a closed run: a JMS client's prefetch.
CLOSED_BACKLOG = 1000
# Bytes under way in a closed run of large messages.
CLOSED_BYTES = 32 << 20
STEADY_RATE = 50_000
QUIET = 100
CROWD = 1000

OVERLOAD = "Offered twice what is taken"
RATES = "Fixed rates"
SIZES = "Sizes, closed"
DEEP = "Backlogs"
FAIR = "Crowds, and the quiet beside a flood"
JAVA = "The unmodified Java client"
GROUPS = [OVERLOAD, RATES, DEEP, FAIR, SIZES, JAVA]


@dataclass(frozen=True)
class Overload:
    """A closed run; twice its rate, whatever the broker does with it; when all that has come, two thirds of the closed rate."""

    name: str
    title: str
    load: str
    consumers: int
    stopped: bool = False
    group = OVERLOAD

    def perform(self, stage):
        size = stage.size
        backlog = f"--backlog {CLOSED_BACKLOG * self.consumers}"
        closed = stage.load("closed", f"{self.load} {backlog}", warm_up=size.warm_up, seconds=size.closed)
        if closed is None:
            return
        if self.stopped:
            stage.stopped_subscriber()
        rate = closed["sent_rate"]
        opened = stage.load("open", self.load, rate=2 * rate, seconds=size.flood, drain=size.drain)
        if opened is None or opened["left"]:
            return
        stage.load("two thirds", self.load, rate=rate * 2 / 3, seconds=size.after, drain=size.drain)


@dataclass(frozen=True)
class Rate:
    """One load at a given rate; with `each` so many messages a second of each of its producers."""

    name: str
    title: str
    load: str
    rate: float | None = None
    group: str = RATES

    def perform(self, stage):
        rate = self.rate or CROWD * stage.size.each
        stage.load(
            "", self.load, rate=rate, warm_up=stage.size.warm_up, seconds=stage.size.rate, drain=stage.size.drain
        )


@dataclass(frozen=True)
class Closed:
    """Messages of a size, with a bound on what is under way."""

    name: str
    title: str
    bytes: int
    group = SIZES

    def perform(self, stage):
        backlog = max(4, min(CLOSED_BACKLOG, CLOSED_BYTES // self.bytes))
        load = f"--non-persistent --size {self.bytes} --backlog {backlog}"
        stage.load("", load, warm_up=stage.size.warm_up, seconds=stage.size.closed)


@dataclass(frozen=True)
class Burst:
    """Many messages into a queue without consumers, and then one comes."""

    name: str
    title: str
    group = DEEP

    def perform(self, stage):
        count = f"--non-persistent --count {stage.size.burst}"
        if stage.load("filled", f"{count} -c 0", drain=stage.size.drain, patience=stage.size.drain) is not None:
            stage.load("emptied", f"{count} -p 0", drain=stage.size.drain, patience=stage.size.drain)


@dataclass(frozen=True)
class Standing:
    """A steady rate through a queue in which consumers leave many messages waiting."""

    name: str
    title: str
    group = DEEP

    def perform(self, stage):
        waiting = stage.size.waiting
        load = f"--non-persistent --waiting {waiting}"
        # The first seconds fill it.
        warm_up = stage.size.warm_up + waiting / STEADY_RATE
        stage.load("", load, rate=STEADY_RATE, warm_up=warm_up, seconds=stage.size.rate, drain=stage.size.drain)


@dataclass(frozen=True)
class Quiet:
    """Queues of one message a second: alone, and beside a producer that sends all that it can into another queue."""

    name: str
    title: str
    group = FAIR

    def perform(self, stage):
        size = stage.size
        quiet = f"--non-persistent --name quiet -p {QUIET} -c {QUIET} -d {QUIET}"
        flood = "--non-persistent --name flood"
        stage.load("the quiet alone", quiet, rate=QUIET, warm_up=1, seconds=size.rate, cpu=False)
        begun = stage.begin(
            quiet, rate=QUIET, warm_up=size.warm_up + 1, seconds=size.flood, drain=size.drain, cpu=False
        )
        stage.wait(1)
        stage.load("the flood", flood, warm_up=size.warm_up, seconds=size.flood, drain=size.drain)
        stage.end("the quiet beside it", begun)


@dataclass(frozen=True)
class Client:
    """What the Java client does in one of its modes."""

    name: str
    title: str
    mode: str
    clients: int = 1
    group: str = JAVA

    def perform(self, stage):
        stage.client("", self.mode, self.clients)


ALL = [
    Overload("queue-1", "non-persistent 1:1", "--non-persistent", 1),
    Overload("queue-2", "non-persistent 2:2, 2 queues", "--non-persistent -p 2 -c 2 -d 2", 2),
    Overload("queue-8", "non-persistent 8:8, 8 queues", "--non-persistent -p 8 -c 8 -d 8", 8),
    Overload("persistent-4", "persistent without receipts 4:4, 4 queues", "--window 0 -p 4 -c 4 -d 4", 4),
    Overload("topic-4", "topic 1:4, one stopped when open", "--non-persistent --topic -c 3", 3, stopped=True),
    Rate("rate-1000", "1,000/s", "--non-persistent", 1_000),
    Rate("rate-10000", "10,000/s", "--non-persistent", 10_000),
    Rate("rate-100000", "100,000/s", "--non-persistent", 100_000),
    Rate("rate-400000", "400,000/s", "--non-persistent", 400_000),
    Burst("burst", "a burst into an idle queue"),
    Standing("standing", f"{STEADY_RATE:,}/s through what waits"),
    Quiet("quiet", f"a flood beside {QUIET} queues of 1/s"),
    Rate(
        "pairs-1000", "1,000 queues with a pair each", f"--non-persistent -p {CROWD} -c {CROWD} -d {CROWD}", group=FAIR
    ),
    Rate("producers-1000", "1,000 producers into one queue", f"--non-persistent -p {CROWD}", group=FAIR),
    Closed("size-64", "64 B", 64),
    Closed("size-1k", "1 KiB", 1 << 10),
    Closed("size-16k", "16 KiB", 16 << 10),
    Closed("size-256k", "256 KiB", 256 << 10),
    Closed("size-4m", "4 MiB", 4 << 20),
    Client("java-one", "persistent, one at a time", "one"),
    Client("java-async", "persistent, async", "async"),
    Client("request-1", "request and reply, 1 client", "request", 1),
    Client("request-100", "request and reply, 100 clients", "request", 100),
]
BY_NAME = {scenario.name: scenario for scenario in ALL}


def chosen(names):
    """The scenarios of these names; a name that none has stands for all that begin with it. Without names, all of them."""
    found = set()
    for name in names or [""]:
        fitting = {name} if name in BY_NAME else {one for one in BY_NAME if one.startswith(name)}
        if not fitting:
            raise KeyError(name)
        found |= fitting
    return [one for one in ALL if one.name in found]
