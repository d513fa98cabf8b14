"""The spool's files cannot be written, are written in part, or cannot be read for a while: nothing that was answered is lost, and others go on."""
import time

from broker import READS, Broker, Folder, Injected, check
from openwire import Connection, Refused, content, drain

SETTINGS = "[journal]\nsegment_bytes = 1048576\nhot_bytes = 2097152\nspool_bytes = 2097152\ndisk_budget_bytes = 1073741824\n"
BYTES = 20_000
MEMORY = 1000
"""Messages that certainly do not fit into memory."""


def spilling(size, answer, holds):
    """Writes answer so while messages come in; `holds`: nothing gets out meanwhile."""
    with Folder() as folder:
        broker, producer, other = begin(folder)
        with Injected(broker, "pwrite64", answer, "spiller"):
            answered = put_until_refused(producer, 1, MEMORY)
            check((answered < MEMORY) == holds, f"{answered} of {MEMORY} were taken; log: {broker.complaints()[:3]}")
            for number in range(10):
                other.put("OTHER", number + 1, content(number), timeout=5)
            broker.must_live()
        deadline = time.time() + 20
        while put_until_refused(producer, answered + 1, answered + 1) == answered:
            check(time.time() < deadline, f"refused 20 s after the disk took writes again; log: {broker.complaints()[-3:]}")
            time.sleep(0.2)
        answered = put_until_refused(producer, answered + 2, answered + 300)
        check(not holds or any("cannot be written to spill-" in line for line in broker.complaints()), f"the log does not tell of it: {broker.complaints()[:3]}")
        all_is_there(broker, drain(broker.port, "SPILLED", quiet=3), answered)
        check(len(drain(broker.port, "OTHER", quiet=2)) == 10, "another client's messages are not there")
        broker.stop()


def unreadable(size):
    """Reads of the spool fail while it is drained."""
    with Folder() as folder:
        broker, producer, _ = begin(folder)
        answered = put_until_refused(producer, 1, 2 * MEMORY)
        check(answered == 2 * MEMORY, f"{answered} of {2 * MEMORY} were taken")
        with Injected(broker, READS, "error=EIO", "spool-reader"):
            taken = drain(broker.port, "SPILLED", quiet=2)
            check(len(taken) < answered, "the reads did not fail")
            broker.must_live()
        check(any("cannot be read" in line for line in broker.complaints()), f"the log does not tell of it: {broker.complaints()[:3]}")
        all_is_there(broker, taken + drain(broker.port, "SPILLED", quiet=6), answered)
        broker.stop()


def begin(folder):
    broker = Broker(folder, SETTINGS)
    broker.must_start()
    producer, other = Connection(broker.port), Connection(broker.port)
    producer.produce("SPILLED")
    other.produce("OTHER")
    return broker, producer, other


def put_until_refused(connection, first, last):
    """The last sequence that was answered."""
    for sequence in range(first, last + 1):
        try:
            connection.put("SPILLED", sequence, content(sequence, BYTES), timeout=15, persistent=0)
        except Refused:
            return sequence - 1
    return last


def all_is_there(broker, taken, answered):
    altered = [got.sequence for got in taken if got.content != content(got.sequence, BYTES)]
    check(not altered, f"{len(altered)} are altered")
    lost = set(range(1, answered + 1)) - {got.sequence for got in taken}
    check(not lost, f"{len(lost)} of {answered} are lost: {sorted(lost)[:5]}; log: {broker.complaints()[:3]}")
