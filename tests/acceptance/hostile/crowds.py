"""Members, names and half frames by the ten thousand: others are answered all the while."""
import threading
import time

from broker import Broker, Folder, check
from openwire import (DISPATCH, QUEUE, TEMPORARY_QUEUE, TOPIC, Connection, Refused, consumer_info, content, destination_info, drain, message, pack,
                      producer_info)

PATIENCE = 1.0
"""Seconds that another client may wait on a machine that runs other things as well; what is meant is milliseconds."""


class Watch:
    """Another client, which asks all the time; its slowest answer."""

    def __init__(self, port):
        self.connection = Connection(port, timeout=120)
        self.slowest, self.over, self.failure = 0.0, False, None
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            while not self.over:
                self.slowest = max(self.slowest, self.connection.ask(120))
                time.sleep(0.02)
        except Exception as error:  # whatever it is, the attack has reached another client
            self.failure = error

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.over = True
        self.thread.join(130)

    def verdict(self, what):
        check(self.failure is None, f"{what}: another client got {self.failure!r}")
        check(self.slowest < PATIENCE, f"{what}: another client waited {self.slowest:.2f} s")


def consumers(size, kind, exclusive=0):
    """Connections with 65,536 consumers each on one destination are closed together."""
    connections, members = (3, 65536) if size == "whole" else (2, 16384)
    with Folder() as folder:
        broker = Broker(folder)
        broker.must_start()
        crowd = []
        with Watch(broker.port) as watch:
            for _ in range(connections):
                one = Connection(broker.port, timeout=120)
                for start in range(0, members, 512):
                    one.send(b"".join(consumer_info(0, one.id, "CROWD", 1, consumer=number, kind=kind, exclusive=exclusive, wants_answer=0)
                                      for number in range(start, start + 512)))
                    one.ask(120)
                crowd.append(one)
            for one in crowd:
                one.close()
            time.sleep(3)
        watch.verdict(f"{connections} x {members} consumers")
        broker.stop()


def patterns(size):
    """Consumers of patterns beside many queues, then destinations that all of them fit, then all of it goes with its connection."""
    queues, listeners = (10000, 2000) if size == "whole" else (2000, 500)
    with Folder() as folder:
        broker = Broker(folder)
        broker.must_start()
        with Watch(broker.port) as watch:
            attacker = Connection(broker.port, timeout=120)
            for start in range(0, queues, 500):
                attacker.send(b"".join(producer_info(attacker.command(), attacker.id, f"some.{number % 10}.{number}", producer=number + 1) for number in range(start, start + 500)))
                attacker.ask(120)
            for start in range(0, listeners, 100):
                attacker.send(b"".join(consumer_info(0, attacker.id, (f"some.{number % 10}.>", "some.>")[number % 100 == 0], 10, consumer=number, wants_answer=0)
                                       for number in range(start, start + 100)))
                attacker.ask(120)
            attacker.send(b"".join(producer_info(attacker.command(), attacker.id, f"some.1.new.{number}", producer=50000 + number) for number in range(200)))
            attacker.ask(120)
            attacker.close()
            time.sleep(3)
        watch.verdict(f"{listeners} patterns and {queues} queues")
        broker.stop()


def temporaries(size):
    """A connection with very many temporary queues, all consumed from, ends while another listens to advisories."""
    queues = 20000 if size == "whole" else 5000
    with Folder() as folder:
        broker = Broker(folder)
        broker.must_start()
        listener = Connection(broker.port, timeout=120)
        listener.call(lambda command: consumer_info(command, listener.id, "ActiveMQ.Advisory.TempQueue", 32767, kind=TOPIC))
        with Watch(broker.port) as watch:
            attacker = Connection(broker.port, timeout=120)
            for start in range(0, queues, 500):
                attacker.send(b"".join(destination_info(0, attacker.id, f"t{number:08}", 0, wants_answer=0)
                                       + consumer_info(0, attacker.id, f"t{number:08}", 10, consumer=number, kind=TEMPORARY_QUEUE, wants_answer=0)
                                       for number in range(start, start + 500)))
                attacker.ask(120)
            attacker.close()
            heard, end = 0, time.time() + 60
            while heard < 2 * queues and time.time() < end:
                heard += listener.frame(60)[0] == DISPATCH
        watch.verdict(f"{queues} temporary queues of one connection")
        check(heard == 2 * queues, f"{heard} of {2 * queues} advisories came")
        broker.stop()


def names(size):
    """One connection makes queues with long names until it is refused. A healthy client goes on, and after a restart its messages are there."""
    budget = 1 << 30
    with Folder() as folder:
        broker = Broker(folder, f"[journal]\ndisk_budget_bytes = {budget}\n")
        broker.must_start()
        good = Connection(broker.port)
        good.produce("GOOD")
        for number in range(100):
            good.put("GOOD", number + 1, content(number))
        attacker, refused = Connection(broker.port, timeout=10), None
        wanted = 200_000 if size == "whole" else 60_000
        try:
            for start in range(0, wanted, 500):
                attacker.send(b"".join(message(attacker.command(), attacker.id, f"x{number:07}" + "y" * 7000, number + 1, b"", persistent=0, wants_answer=0)
                                       for number in range(start, start + 500)))
                attacker.ask(10)
        except (EOFError, OSError, Refused) as error:
            refused = error
        check(refused is not None or attacker.errors, "names are taken without an end")
        good.put("GOOD", 101, content(100), timeout=5)
        check(Connection(broker.port, timeout=5).ask(5) < PATIENCE, "a new client waits")
        attacker.close()
        broker.stop()
        broker.must_start()
        taken = len(drain(broker.port, "GOOD", quiet=2))
        check(taken == 101, f"{taken} of 101 messages of the healthy client after a restart")
        check(broker.anonymous() < 1 << 30, f"{broker.anonymous() >> 20} MiB of memory for names")
        broker.stop()


def advisories(size):
    """Temporary queues, then as many advisory consumers that take one message each: what is owed to them costs nothing until they take it."""
    queues, listeners = (20000, 5000) if size == "whole" else (5000, 1000)
    with Folder() as folder:
        broker = Broker(folder)
        broker.must_start()
        before = broker.anonymous()
        with Watch(broker.port) as watch:
            attacker = Connection(broker.port, timeout=120)
            try:
                for start in range(0, queues, 500):
                    attacker.send(b"".join(destination_info(0, attacker.id, f"t{number:08}", 0, wants_answer=0) for number in range(start, start + 500)))
                    attacker.ask(120)
            except Refused:
                pass
            for start in range(0, listeners, 500):
                attacker.send(b"".join(consumer_info(0, attacker.id, "ActiveMQ.Advisory.TempQueue", 1, consumer=number, kind=TOPIC, wants_answer=0)
                                       for number in range(start, start + 500)))
                attacker.ask(120)
            time.sleep(3)
            grown = broker.anonymous() - before
            attacker.close()
            time.sleep(2)
        watch.verdict(f"{queues} temporary queues and {listeners} listeners")
        check(grown < 256 << 20, f"memory grew by {grown >> 20} MiB")
        broker.stop()


def half_frames(size, io):
    """Three connections announce 256 MiB and send five bytes each: frames that come in two pieces go on."""
    patience = 70 if size == "whole" else 3
    with Folder() as folder:
        broker = Broker(folder, arguments=["--io", io])
        broker.must_start()
        victim = Connection(broker.port)
        victim.produce("V")
        before, bad = broker.settled_anonymous(), []
        for announced in (104857600, 104857600, 58720100):
            attacker = Connection(broker.port)
            attacker.send(pack(">i", announced) + b"\x18")
            bad.append(attacker)
        time.sleep(0.5)
        check(broker.anonymous() - before < 16 << 20, f"15 bytes cost {broker.anonymous() - before} bytes of memory")
        for size_of_body in (400, 1_000_000):
            command = victim.command()
            data = message(command, victim.id, "V", command, content(1, size_of_body))
            victim.send(data[:len(data) // 2])
            time.sleep(0.2)
            victim.send(data[len(data) // 2:])
            begin = time.time()
            victim.wait(command, 5)
            check(time.time() - begin < PATIENCE, f"a frame in two pieces waited {time.time() - begin:.2f} s")
        time.sleep(patience)
        if size == "whole":
            for attacker in bad:
                attacker.socket.settimeout(1)
                try:
                    while attacker.socket.recv(65536):
                        pass
                except ConnectionResetError:
                    pass
                except TimeoutError:
                    check(False, "a half frame has no deadline")
        broker.must_live()
        broker.stop()


def half_frames_epoll(size):
    half_frames(size, "epoll")


def half_frames_uring(size):
    half_frames(size, "uring")
