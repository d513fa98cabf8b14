"""What may be lost by a harm, and what must be said of it."""
import re


class Red(Exception):
    """A verdict: `kind` is one of KINDS."""

    def __init__(self, kind, text):
        super().__init__(f"{kind}: {text}")
        self.kind = kind


KINDS = ("altered", "invented", "lost", "silent", "unnamed", "lie", "abort", "refusal", "stuck")


def demand(condition, kind, text):
    if not condition:
        raise Red(kind, text)


class Known:
    """The messages that were receipted, by id: what each carries, and which of them are over: acknowledged. Marks show where a queue ends."""

    def __init__(self):
        self.contents, self.queues, self.over, self.marks = {}, {}, set(), set()

    def copy(self):
        known = Known()
        known.contents, known.queues, known.over = dict(self.contents), dict(self.queues), set(self.over)
        return known

    def expected(self):
        return set(self.contents) - self.over - self.marks

    def add(self, identity, content, queue):
        self.contents[identity], self.queues[identity] = content, queue

    def give_up(self, queues):
        """Nothing of these is expected any more."""
        self.marks |= {identity for identity, queue in self.queues.items() if queue in queues}

    def is_as_sent(self, got):
        demand(got.id in self.contents, "invented", f"{got.id} was never sent")
        demand(got.content == self.contents[got.id], "altered", f"{got.id} has {len(got.content)} bytes of other content")


class Told:
    """What the logs of a case say."""

    def __init__(self, text):
        self.lines = [line for line in text.split("\n") if "ERROR" in line or "WARN" in line]
        self.text = "\n".join(self.lines)
        self.given_up = set(re.findall(r"(segment-[0-9a-f]{16}) is given up", self.text))
        self.sequences = {int(number) for number in re.findall(r"\bsequence[=: ]+(\d+)", self.text)}
        self.ranges = [(name, int(offset), int(offset) + int(size))
                       for name, offset, size in re.findall(r'file="?(segment-[0-9a-f]{16})"? offset=(\d+) bytes=(\d+)', self.text)]
        cuts = [int(position) for position in re.findall(r"cut-\d+-(\d+)", self.text)]
        self.cut = min(cuts, default=float("inf"))
        self.named = set(re.findall(r"[\w-]+:\d+:\d+:\d+", self.text))

    def covers(self, record):
        name, (begin, end) = record.file.name, record.body
        return any(file == name and start < end and begin < stop for file, start, stop in self.ranges)

    def is_cut(self, record):
        return record.frame is not None and record.frame.position >= self.cut


class Harmed:
    """Which records a harm may have cost, and which of them can still be named."""

    def __init__(self, log, spans):
        self.log, self.spans = log, spans

    def hit(self, file, span):
        return span is not None and any(begin < span[1] and span[0] < end for begin, end in self.spans.get(file.name, ()))

    def costs(self, record):
        return any(self.hit(record.file, span) for span in record.spans()) or self.is_broken(record.frame) or self.is_headless(record)

    def is_broken(self, frame):
        """Without its header, and what leads to its directory: the marker, or the frame before it."""
        if frame is None:
            return False
        lost_before = frame.before is not None and self.hit(frame.segment, frame.before.header)
        return self.hit(frame.segment, frame.header) and (self.hit(frame.segment, frame.marker) or lost_before)

    def is_headless(self, record):
        return record.frame and self.hit(record.file, (0, 64)) and self.hit(record.file, (2048, 2112))

    def is_another(self, record):
        """Its file is missing, another one, or of another length."""
        return self.is_headless(record) or any(end == float("inf") for _, end in self.spans.get(record.file.name, ()))

    def is_nameable(self, record):
        return not self.hit(record.file, record.head) and not self.is_headless(record)


def judge_life(text, taken):
    """Of one life: what it says it has lost it does not deliver."""
    told = Told(text)
    lies = sorted({got.id for got in taken} & told.named)
    demand(not lies, "lie", f"{lies[:3]} are named in the log, and were delivered: {told.lines[:3]}")


def judge(known, harmed, told, taken, unproven):
    """Raises what does not hold; how many messages are lost. `unproven`: the last frames may look torn, as the process was killed at once."""
    for got in taken:
        known.is_as_sent(got)
    there = {got.id for got in taken}
    for identity in sorted(known.expected() - there):
        judge_lost(identity, harmed, told, unproven)
    demand(harmed.spans or "damaged in" not in told.text, "lie", f"nothing is damaged; log: {told.lines[:3]}")
    back = there & known.over
    demand(not back or told.lines, "silent", f"{len(back)} acknowledged messages are back, and the log says nothing")
    return len(known.expected() - there)


def judge_lost(identity, harmed, told, unproven):
    records = harmed.log.messages.get(identity, [])
    demand(records, "lost", f"{identity}, of which no record was on the disk")
    whole = [record for record in records if record.file.name in told.given_up and harmed.is_another(record)]
    torn = [record for record in records if told.is_cut(record) and unproven and record.frame.position >= harmed.log.doubtful]
    if whole or torn:
        return
    costly = [record for record in records if harmed.costs(record)]
    demand(costly, "lost", f"{identity}, which was not touched; log: {told.lines[:4]}")
    demand(told.lines, "silent", f"{identity} is gone and the log says nothing")
    if identity in told.named:
        return
    record = costly[-1]
    where = f"sequence {record.sequence}, {record.file.name} {record.body}, content at {record.content[0]}"
    demand(not harmed.is_nameable(record), "unnamed", f"{identity} ({where}) could be named; log: {told.lines[:4]}")
    demand(record.sequence in told.sequences or told.covers(record), "silent", f"{identity} ({where}) is not told; log: {told.lines[:4]}")
