"""A directory as one way to end left it, older copies of it, and what was receipted into it."""
import itertools
import os
import random
import shutil
import time

from broker import Broker, Folder
from journal import Log
from openwire import Connection, content, drain, message
from verdict import Known

SETTINGS = "[journal]\nsegment_bytes = 1048576\nhot_bytes = 1048576\nspool_bytes = 1048576\ndisk_budget_bytes = 268435456\n"
QUEUES = ("FLIPS.ONE", "FLIPS.TWO")
SEED = os.environ.get("SEED", "7")


class Ports:
    """A killed process may keep its port for a moment: each start takes another one."""

    def __init__(self, first, count):
        self.numbers = itertools.cycle(range(first, first + count))

    def next(self):
        return next(self.numbers)


class Sender:
    """A connection that sends messages of many sizes; what it sends is known."""

    def __init__(self, port, known, persistent=1):
        self.connection, self.known, self.sequence, self.persistent = Connection(port), known, 0, persistent
        for queue in QUEUES:
            self.connection.produce(queue)

    def frame(self, queue, body, wants_answer):
        self.sequence += 1
        self.known.add(self.newest(), body, queue)
        command = self.connection.command()
        return message(command, self.connection.id, queue, self.sequence, body, self.persistent, int(wants_answer))

    def newest(self):
        return f"{self.connection.id}:1:1:{self.sequence}"

    def send(self, count, chunk, chance):
        for start in range(0, count, chunk):
            queue = chance.choice(QUEUES)
            self.many(queue, [body(chance) for _ in range(min(chunk, count - start))])

    def many(self, queue, bodies):
        """Together, and receipted together. The last one's id."""
        self.connection.send(b"".join(self.frame(queue, body, index == len(bodies) - 1) for index, body in enumerate(bodies)))
        self.connection.wait(self.connection.commands)
        return self.newest()

    def one(self, queue, body):
        return self.many(queue, [body])

    def last(self, queue):
        """A message that comes behind all others of its queue. Nobody looks for it."""
        identity = self.one(queue, b"last")
        self.known.marks.add(identity)
        return identity


def body(chance):
    return content(chance.randrange(1 << 30), chance.choice([40, 400, 400, 2000, 2000, 4500, 16000]))


class Scene:
    def __init__(self, ending, ports):
        self.ending, self.known, self.old, self.folder = ending, Known(), [], Folder()
        chance = random.Random(f"{SEED} scene")
        broker = Broker(self.folder, SETTINGS, port=ports.next())
        broker.must_start()
        Sender(broker.port, self.known).send(260, 20, chance)
        broker.stop()
        self.copy(broker)
        broker.port = ports.next()
        broker.must_start()
        sender = Sender(broker.port, self.known)
        sender.send(60, 1, chance)
        sender.send(200, 40, chance)
        for queue in QUEUES:
            self.known.over |= {got.id for got in drain(broker.port, queue, limit=50, prefetch=50)}
        self.copy(broker)
        sender.one(QUEUES[0], content(1, 70_000))
        sender.one(QUEUES[0], content(2, 1_400_000))
        sender.send(240, 15, chance)
        sender.send(20, 1, chance)
        self.end(broker)
        self.data = broker.data
        self.log = Log(self.data)
        unseen = set(self.known.contents) - self.known.over - set(self.log.messages)
        assert not unseen, f"the reader does not find {len(unseen)} messages"

    def end(self, broker):
        if self.ending == "orderly":
            broker.stop()
            return
        if self.ending == "killed at rest":
            time.sleep(0.4)
        broker.kill()

    def copy(self, broker):
        name = f"{self.folder.path}/old-{len(self.old)}"
        copy_live(broker.data, name)
        self.old.append(name)


def copy_live(data, copy):
    """Of a directory that a broker is at: files come and go."""
    os.mkdir(copy)
    for name in sorted(os.listdir(data)):
        try:
            shutil.copyfile(f"{data}/{name}", f"{copy}/{name}")
        except FileNotFoundError:
            pass


ENDINGS = ("orderly", "killed at rest", "killed")
