"""Disks that are full, small, or cannot be read for a while."""
import socket
import time

from broker import SMALL_SEGMENTS, Broker, FailingReads, Folder, check
from openwire import DISPATCH, QUEUE, TOPIC, Connection, Message, Refused, acknowledgement, content, drain


def full_for_a_while(size):
    """Another program takes what is left of the disk, and gives it back. Meanwhile sends are refused or answered, nobody waits for ever; afterwards all goes on."""
    for storage in ("direct", "mapped") if size == "whole" else ("direct",):
        with Folder(1200) as folder:
            broker = Broker(folder, arguments=["--storage", storage])
            broker.must_start()
            connection = Connection(broker.port)
            connection.produce("FULL")
            receipted = put_until_refused(connection, 1, 2000)
            check(receipted == 2000, f"only {receipted} of 2,000 before the disk was full")
            folder.fill()
            receipted = put_until_refused(connection, receipted + 1, 20000)
            broker.must_live()
            check(Connection(broker.port, timeout=5).ask(5) < 1, "a new client is answered late while the disk is full")
            folder.empty()
            deadline = time.time() + 20
            while put_until_refused(connection, receipted + 1, receipted + 1) == receipted:
                check(time.time() < deadline, "sends are refused 20 s after there was room again")
                time.sleep(0.5)
            receipted += 1
            broker.stop()
            broker.must_start()
            taken = drain(broker.port, "FULL", quiet=2)
            lost = set(range(1, receipted + 1)) - {got.sequence for got in taken}
            check(not lost, f"{len(lost)} of {receipted} receipted messages are lost")
            check(all(got.content == content(got.sequence, 16384) for got in taken), "messages are altered")
            broker.stop()


def put_until_refused(connection, first, last):
    """The last sequence that was receipted."""
    for sequence in range(first, last + 1):
        try:
            connection.put("FULL", sequence, content(sequence, 16384), timeout=15)
        except Refused:
            return sequence - 1
    return last


def full_over_a_restart(size):
    """Another program fills a small disk to the last byte before anything was stored. What was receipted is consumed meanwhile, and is there after a kill; a start that needs
    room says so; with room again all goes on."""
    for storage in ("direct", "mapped") if size == "whole" else ("direct",):
        with Folder(80, memory=True) as folder:
            broker = Broker(folder, SMALL_SEGMENTS, ["--storage", storage])
            broker.must_start()
            folder.fill()
            connection = Connection(broker.port)
            connection.produce("FULL")
            receipted = put_until_refused(connection, 1, 5000)
            check(0 < receipted < 5000, f"{receipted} of 5,000 on a full disk")
            over = {got.sequence for got in drain(broker.port, "FULL", limit=10, prefetch=10)}
            check(len(over) == 10, f"{len(over)} of 10 delivered on a full disk")
            broker.must_live()
            broker.kill()
            must_start_or_say(broker, folder)
            taken = drain(broker.port, "FULL", quiet=2)
            lost = set(range(1, receipted + 1)) - over - {got.sequence for got in taken}
            check(not lost, f"{len(lost)} of {receipted} receipted messages are lost: {sorted(lost)[:5]}")
            check(all(got.content == content(got.sequence, 16384) for got in taken), "messages are altered")
            folder.empty()
            connection = Connection(broker.port)
            connection.produce("FULL", producer=2)
            check(goes_on(connection, 20), "sends are refused 20 s after there was room again")
            broker.stop()


def must_start_or_say(broker, folder):
    """It may need some bytes, and then names directory and reason."""
    if broker.start() is None:
        text = broker.text()
        check(broker.process.poll() == 3 and "No space left" in text and folder.inner in text, f"a start on a full disk ends: {text[-400:]}")
        folder.empty()
        folder.fill(1 << 20)
        broker.must_start()


def goes_on(connection, seconds):
    deadline = time.time() + seconds
    while time.time() < deadline:
        try:
            connection.put("FULL", 1, b"goes on", timeout=15, producer=2)
            return True
        except Refused:
            time.sleep(0.5)
    return False


def start_on_a_small_budget(size):
    """The budget is below what the journal holds: by a lowered setting, or by another program's file. Everything can be drained."""
    for lowered in (True, False) if size == "whole" else (False,):
        with Folder(1300) as folder:
            broker = Broker(folder)
            broker.fill("S", 11000, b"m" * 16384, chunk=50)
            broker.stop()
            if lowered:
                broker = Broker(folder, f"[journal]\ndisk_budget_bytes = {300 << 20}\n")
            else:
                folder.fill(20 << 20)
            broker.must_start()
            taken = drain(broker.port, "S", quiet=3)
            check(len(taken) == 11000, f"drained {len(taken)} of 11,000; log: {broker.complaints()[:3]}")
            broker.stop()


def unreadable_for_a_while(size):
    """Reads fail for some seconds while a backlog is drained from the disk: nothing is delivered meanwhile, all of it afterwards."""
    count, bytes_each, settings = (60000, 10000, "") if size == "whole" else (8000, 1000, SMALL_SEGMENTS)
    with Folder() as folder:
        broker = Broker(folder, settings)
        broker.fill("COLD", count, content("cold", bytes_each), chunk=200).close()
        broker.stop()
        broker.must_start()
        with FailingReads(broker):
            taken = drain(broker.port, "COLD", quiet=3, prefetch=1000)
            connection = Connection(broker.port, timeout=5)
            connection.produce("OTHER")
            connection.put("OTHER", 1, b"goes on", timeout=5)
        check(len(taken) < count, "the reads did not fail")
        taken += drain(broker.port, "COLD", quiet=6)
        lost = count - len({got.sequence for got in taken})
        check(lost == 0, f"{lost} of {count} receipted messages are lost")
        check(any("read" in line for line in broker.complaints()), f"the log does not tell of the reads: {broker.complaints()[:3]}")
        broker.stop()


def no_descriptors(size):
    """Idle connections take all descriptors while a backlog is drained from the disk: the connections pay, no message does."""
    limit, count = 1024, 60000 if size == "whole" else 8000
    for io in ("epoll", "uring") if size == "whole" else ("epoll",):
        with Folder() as folder:
            broker = Broker(folder, SMALL_SEGMENTS, ["--io", io], before=["prlimit", f"--nofile={limit}:{limit}"])
            connection = broker.fill("COLD", count, content("cold", 1000), chunk=200)
            idle = strangers(broker.port, limit + 50)
            taken = drain_with(connection, "COLD", count)
            broker.must_live()
            check(len(taken) == count, f"{io}: {len(taken)} of {count} delivered, {len(idle)} strangers; log: {broker.complaints()[:3]}")
            for stranger in idle:
                stranger.close()
            broker.stop()


def strangers(port, count):
    """Connections that say nothing; the broker may close them."""
    idle = []
    for _ in range(count):
        try:
            idle.append(socket.create_connection(("127.0.0.1", port), timeout=2))
        except OSError:
            break
    time.sleep(1)
    return idle


def drain_with(connection, name, count):
    """As `drain`, over a connection that is there already."""
    connection.consume(name, 1000)
    waiting, taken, since = list(connection.dispatched), [], []
    try:
        while len(taken) < count:
            data = waiting.pop(0) if waiting else connection.frame(5)
            if data[0] != DISPATCH:
                continue
            taken.append(Message(data))
            since.append(taken[-1].identity)
            if len(since) == 100 or len(taken) == count:
                connection.send(acknowledgement(connection.command(), connection.id, name, since[0], since[-1], len(since)))
                since = []
    except TimeoutError:
        pass
    return taken


def spool(size, kind):
    """Non-persistent messages that nobody takes, far beyond memory and the spool's part of a small disk: memory and disk stay within their settings, others' persistent sends go on."""
    memory, total = 64 << 20, 1_800_000 if size == "whole" else 700_000
    with Folder(1000) as folder:
        broker = Broker(folder, f"[journal]\nspool_bytes = {memory}\nsegment_bytes = 4194304\n")
        broker.must_start()
        good = Connection(broker.port)
        good.produce("GOOD")
        before = broker.anonymous()
        stalled = Connection(broker.port, receive_buffer=4096)
        if kind == TOPIC:
            stalled.consume("SPOOLED", 100, kind=TOPIC)
        producer = Connection(broker.port, timeout=10)
        producer.produce("SPOOLED", kind=kind)
        receipted = 0
        try:
            for _ in range(total // 50000):
                producer.fill_queue("SPOOLED", 50000, b"s" * 1024, persistent=0, kind=kind, timeout=5)
                good.put("GOOD", receipted + 1, content(receipted, 20000), timeout=5)
                receipted += 1
        except (TimeoutError, Refused):
            check(kind == QUEUE, "a stalled subscriber stops a topic's producer")
        for _ in range(20):
            good.put("GOOD", receipted + 1, content(receipted, 20000), timeout=5)
            receipted += 1
        grown = broker.anonymous() - before
        check(grown < 3 * memory, f"memory grew by {grown >> 20} MiB with spool_bytes at {memory >> 20} MiB")
        check(folder.free() > 300 << 20, f"{folder.free() >> 20} MiB of 1,000 are left")
        broker.must_live()
        stalled.close()
        broker.kill()
        broker.must_start()
        taken = len(drain(broker.port, "GOOD"))
        check(taken == receipted, f"{taken} of {receipted} persistent messages after a restart")
        broker.stop()
