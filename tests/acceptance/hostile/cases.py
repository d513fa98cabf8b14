"""One harm to a data directory, and what becomes of it."""
import os
import random
import re
import shutil
import signal
import time

import harms
from broker import Broker
from journal import Spilled
from openwire import Connection, Message, DISPATCH, content, drain
from scene import QUEUES, SEED, SETTINGS, Sender, copy_live
from verdict import Harmed, Known, Red, Told, demand, judge, judge_life

PATIENCE = 30
"""Seconds until a message that is due counts as missing."""
AGAIN = 0.25
"""Part of the cases that start once more in the end."""
ADDRESS_IN_USE = 4
"""Exit code where something else listens at a port: another one is taken."""
REMEDIES = ("give up", "give up", "put back", "truncate")


class Case:
    """One harm to a copy of a scene's directory."""

    def __init__(self, number, scenes, ports):
        self.chance = random.Random(f"{SEED} {number}")
        self.number, self.ports = number, ports
        self.scene = self.chance.choice(scenes)
        self.runs = self.chance.random() < 0.4
        self.io, self.storage = self.chance.choice(["epoll", "uring"]), self.chance.choice(["direct", "mapped"])
        self.harm = self.chance.choices(list(harms.HARMS), harms.HARMS.values())[0]
        if self.harm in harms.OF_THE_LAST:
            self.storage = "direct"
        self.text, self.taken, self.before_this_life = "", [], 0
        self.refusals, self.waits = 0, []
        self.known = self.scene.known.copy()

    def __str__(self):
        running = ", then running" if self.runs else ""
        return f"{self.number}, {self.harm.__name__}, {self.scene.ending}{running}, {self.storage}, {self.io}"

    def name(self):
        return self.harm.__name__

    def run(self, folder):
        """How many messages it cost."""
        self.before = self.scene.data
        self.serve(folder)
        shutil.copytree(self.scene.data, self.data)
        if self.runs:
            self.under_a_broker(f"{folder.path}/before")
        else:
            self.hurt()
        self.start()
        for queue in QUEUES:
            self.take(queue)
        self.take_recovered()
        self.end("orderly")
        if self.chance.random() < AGAIN:
            self.start_again()
        unproven = self.scene.ending == "killed" and not self.runs
        return judge(self.known, Harmed(self.scene.log, self.spans), Told(self.text), self.taken, unproven)

    def start_again(self):
        """Whatever it was, it is over: a further start is not refused, and everything was taken."""
        refusals, taken = self.refusals, len(self.taken)
        self.start()
        demand(self.refusals == refusals, "refusal", "the start after all that")
        for queue in QUEUES:
            self.take(queue)
        back = {got.id for got in self.taken[taken:]} - self.known.marks
        demand(not back or self.waits, "invented", f"{len(back)} are back, {sorted(back)[:3]}")
        self.end("orderly")

    def serve(self, folder):
        arguments = ["--cores", "1", "--io", self.io, "--storage", self.storage]
        self.broker = Broker(folder, SETTINGS, arguments, port=self.ports.next())
        self.data = self.broker.data

    def hurt(self):
        log = self.scene.log
        if self.runs and self.storage == "mapped":
            # What such a broker writes on is the file's own pages: they are memory, not what came from a disk.
            log = log.without_last()
        self.harm(log, self.data, self.chance, self.scene.old)
        self.spans = harms.changed(self.before, self.data)

    def under_a_broker(self, copy):
        """The harm comes while a broker has the directory open, and most messages are on the disk alone."""
        self.start()
        self.before = copy
        copy_live(self.data, copy)
        self.hurt()
        for queue in QUEUES:
            self.browse(queue)
        self.take(QUEUES[0])
        self.end(self.chance.choice(["orderly", "killed"]))

    def start(self):
        """Starts; does what the refusals say."""
        more = []
        for _ in range(8):
            self.broker.port = self.ports.next()
            before = state(self.data)
            if self.broker.start(more=more) is not None:
                return
            text, code = self.broker.text(), self.broker.process.poll()
            if code == ADDRESS_IN_USE:
                self.text += text
                continue
            demand(code == 3 and "panicked" not in text, "abort", f"a start ends with {code}: {text[-600:]}")
            demand(state(self.data) == before, "refusal", f"a refused start changed the directory: {text[-400:]}")
            self.refusals += 1
            more += self.remedy(text)
        raise Red("refusal", f"again and again: {self.broker.text()[-600:]}")

    def remedy(self, text):
        """Does one of the things that a refusal says; further arguments of the next start."""
        named = re.search(r"--give-up (segment-[0-9a-f]{16}|epochs-[01])", text)
        size = re.search(r"(segment-[0-9a-f]{16}) has .*truncate -s (\d+)", text)
        way = self.chance.choice(REMEDIES)
        if not named:
            demand("epochs-0" in text, "refusal", f"without a remedy: {text[-400:]}")
            self.put_back(*harms.TABLES)
        elif way == "put back" and not self.runs and os.path.exists(f"{self.before}/{named.group(1)}"):
            self.put_back(named.group(1))
        elif way == "truncate" and size and self.harm in harms.RESIZED:
            os.truncate(f"{self.data}/{size.group(1)}", int(size.group(2)))
        else:
            return ["--give-up", named.group(1)]
        self.spans = harms.changed(self.before, self.data)
        return []

    def put_back(self, *names):
        for name in names:
            shutil.copyfile(f"{self.before}/{name}", f"{self.data}/{name}")

    def take(self, queue):
        """Everything that is in a queue."""
        last = Sender(self.broker.port, self.known).last(queue)
        begin = time.time()
        while True:
            taken = drain(self.broker.port, queue, quiet=self.patience(), until=last)
            self.must_live()
            self.taken += taken
            if taken and taken[-1].id == last:
                return
            if self.waits_long(begin, f"the last message of {queue} does not come"):
                self.waits.append(queue)
                return

    def patience(self):
        """Seconds without a message after which the log is looked at."""
        return 1.5 if self.may_wait() else PATIENCE

    def may_wait(self):
        """Bytes that are not there at all are no damage: who wants them waits, and it is said."""
        return self.runs and harms.shortened(self.before, self.data)

    def waits_long(self, begin, what):
        """Whether it is said why nothing comes; a little later than now it may be."""
        told = self.may_wait() and "cannot be read" in self.broker.text()
        demand(told or time.time() < begin + PATIENCE, "stuck", f"{what}; log: {self.broker.complaints()[-3:]}")
        return told

    def take_recovered(self):
        for name in sorted(set(re.findall(r"postrider\.recovered\.\d+", self.broker.text()))):
            self.taken += drain(self.broker.port, name, quiet=0.7)

    def browse(self, queue):
        connection, begin = Connection(self.broker.port), time.time()
        connection.consume(queue, 30000, browser=1)
        waiting = list(connection.dispatched)
        while True:
            try:
                data = waiting.pop(0) if waiting else connection.frame(self.patience())
            except TimeoutError:
                if self.waits_long(begin, f"a browser of {queue} does not come to the end"):
                    break
                continue
            got = Message(data) if data[0] == DISPATCH else None
            if got is not None and got.identity is None:
                break
            if got is not None:
                self.known.is_as_sent(got)
        connection.close()

    def must_live(self):
        self.broker_text = self.broker.text()
        demand(self.broker.alive() and "panicked" not in self.broker_text, "abort", f"exit {self.broker.process.poll()}: {self.broker_text[-600:]}")

    def end(self, how):
        self.must_live()
        if how == "orderly":
            self.broker.process.send_signal(signal.SIGTERM)
            code = self.broker.process.wait(30)
            demand(code == 0, "abort", f"ends with {code}: {self.broker.text()[-600:]}")
        else:
            self.broker.kill()
        judge_life(self.broker.text(), self.taken[self.before_this_life:])
        self.before_this_life = len(self.taken)
        self.text += self.broker.text()


def state(data):
    """Which files there are, and when each was written last."""
    return {name: (file.st_ino, file.st_size, file.st_mtime_ns) for name, file in files(data)}


def files(data):
    """Those of a broker that runs come and go."""
    for name in os.listdir(data) if os.path.exists(data) else []:
        try:
            if name != "lock":
                yield name, os.stat(f"{data}/{name}")
        except FileNotFoundError:
            pass


class SpoolCase(Case):
    """One harm to a file of the spool, while its messages are wanted."""

    def __init__(self, number, scenes, ports):
        super().__init__(number, scenes, ports)
        self.runs, self.known = True, Known()
        self.harm = self.chance.choices(list(harms.OF_THE_SPOOL), harms.OF_THE_SPOOL.values())[0]

    def name(self):
        return f"{self.harm.__name__} of the spool"

    def __str__(self):
        return f"{self.number}, {self.harm.__name__} of the spool, {self.storage}, {self.io}"

    def run(self, folder):
        self.serve(folder)
        self.start()
        sender = Sender(self.broker.port, self.known, persistent=0)
        for _ in range(12):
            queue = self.chance.choice(QUEUES)
            sender.many(queue, [content(self.chance.randrange(1 << 30), self.chance.choice([500, 4000, 20000])) for _ in range(75)])
        self.before = f"{folder.path}/before"
        self.await_files()
        copy_live(self.data, self.before)
        log = Spool(self.data)
        self.harm(log, self.data, self.chance, [])
        self.spans = harms.changed(self.before, self.data)
        for queue in QUEUES:
            self.browse(queue)
        for queue in QUEUES:
            self.take(queue)
        self.end("orderly")
        if self.waits:
            self.known.give_up(self.waits)
        return judge(self.known, Harmed(log, self.spans), Told(self.text), self.taken, False)

    def await_files(self):
        """Until what goes to files is there."""
        known = None
        while known != (known := state(self.data)) or not any(name.startswith("spill-") for name in known):
            time.sleep(0.05)


class Spool:
    """All files of the spool."""

    def __init__(self, data):
        self.segments = [Spilled(data, name) for name in sorted(os.listdir(data)) if name.startswith("spill-")]
        self.messages = {record.id: [record] for spilled in self.segments for record in spilled.records}
