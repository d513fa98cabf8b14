"""Memory: of clients that do not read, and of a peak that is over."""
import time

from broker import SMALL_SEGMENTS, Broker, Folder, check
from openwire import TOPIC, Connection, Refused, consumer_info, drain, message

MIB = 1 << 20


def each(broker, before, fixed, count):
    """Bytes for each of so many connections, beside what the broker takes once."""
    return max(0, broker.anonymous() - before - fixed) // count


def unread(size, io):
    """Subscribers that never read: each costs its send window, in buffers that may be half full."""
    count = 400 if size == "whole" else 100
    with Folder() as folder:
        broker = Broker(folder, arguments=["--io", io])
        broker.must_start()
        before, crowd = broker.settled_anonymous(), []
        for _ in range(count):
            one = Connection(broker.port, receive_buffer=4096)
            one.consume("NEWS", 32767, TOPIC)
            crowd.append(one)
        sender = Connection(broker.port)
        sender.produce("NEWS", kind=TOPIC)
        sender.fill_queue("NEWS", 8000, b"x" * 1000, kind=TOPIC, persistent=0)
        # What docs/operating.md has ("What bounds memory"): a send that is held and what waits behind it, in blocks that doubled.
        for _ in range(8 if size == "whole" else 3):
            time.sleep(5)
            spool = broker.counters()["spool_memory_bytes"]
            cost = each(broker, before, spool + 24 * MIB, count)
            check(cost <= 640 << 10, f"{count} subscribers that never read cost {cost} bytes each")
        print(f"    {io}: {cost} bytes for each of {count} subscribers that never read")
        broker.stop()


class Flood:
    """A connection that sends the same persistent messages again and again and wants no answer, as fast as it is read."""

    def __init__(self, port, queue):
        self.connection, self.rest = Connection(port), b""
        self.connection.produce(queue)
        self.connection.socket.setblocking(False)
        self.burst = b"".join(message(5, self.connection.id, queue, number, b"y" * 2000, wants_answer=0) for number in range(100))

    def send(self):
        self.rest = self.rest or self.burst
        try:
            self.rest = self.rest[self.connection.socket.send(self.rest):]
        except BlockingIOError:
            pass


def parked(size, io):
    """Floods that find the journal full: what is kept of all of them is parked within the setting, or little."""
    count, park = 400 if size == "whole" else 100, 4 * MIB
    # What is on its way up when the first is parked, and a receive of each.
    beside = 18 * MIB + count * (64 << 10)
    settings = SMALL_SEGMENTS + f"disk_budget_bytes = {32 * MIB}\nspool_bytes = {4 * MIB}\n[flow]\npark_bytes = {park}\n"
    with Folder() as folder:
        broker = Broker(folder, settings, arguments=["--io", io, "--cores", "1"])
        try:
            broker.fill("FULL", 40000, b"x" * 1000)
            check(False, "the journal takes more than it may")
        except Refused:
            pass
        before, crowd = broker.settled_anonymous(), [Flood(broker.port, "FULL") for _ in range(count)]
        for _ in range(60):
            for one in crowd:
                one.send()
            time.sleep(0.01)
        time.sleep(3)
        # A pool of receive buffers for each of the first sixteen, before the driver becomes careful.
        cost, kept = each(broker, before, park + 48 * MIB, count), broker.counters()["parked_bytes"]
        print(f"    {io}: {kept // MIB} MiB are parked of {count} floods, {cost} bytes for each besides")
        check(kept > park // 2, "that was no flood")
        check(kept <= park + beside, f"{kept // MIB} MiB are parked where `flow.park_bytes` says {park // MIB}")
        check(cost <= 192 << 10, f"{count} floods that are not read cost {cost} bytes each beside `flow.park_bytes`")
        broker.stop()


def peak(size):
    """Consumers and messages by the hundred thousand, all gone: within a minute their memory is, too."""
    consumers, messages = (200_000, 2_000_000) if size == "whole" else (60_000, 200_000)
    limit = (160 if size == "whole" else 80) * MIB
    with Folder() as folder:
        broker = Broker(folder, SMALL_SEGMENTS)
        broker.must_start()
        before = broker.settled_anonymous()
        crowd = Connection(broker.port, timeout=120)
        for start in range(0, consumers, 500):
            crowd.send(b"".join(consumer_info(0, crowd.id, f"Q{number % 100}", 1, consumer=number, wants_answer=0)
                                for number in range(start, start + 500)))
            crowd.ask(120)
        sender = Connection(broker.port)
        sender.produce("MANY")
        sender.fill_queue("MANY", messages, b"x" * 200, persistent=0)
        most = broker.anonymous() - before
        crowd.close()
        check(len(drain(broker.port, "MANY", quiet=3)) == messages, "messages are missing")
        end = time.time() + 60
        while broker.anonymous() - before > limit and time.time() < end:
            time.sleep(2)
        left = broker.anonymous() - before
        print(f"    {most // MIB} MiB at the peak, {left // MIB} MiB {60 - max(0, end - time.time()):.0f} s after it")
        check(most > limit + 48 * MIB, "that was no peak")
        check(left <= limit, f"{left // MIB} MiB are kept a minute after a peak of {most // MIB} MiB")
        broker.stop()
