"""Bits that rot, and what may be lost by one of them: the message it hit, by name."""
import os
import random
import re

from broker import SMALL_SEGMENTS, Broker, FailingReads, Folder, check, flip
from openwire import QUEUE, Connection, DELETE, content, destination_info, drain, message


def name_of_a_queue(size):
    """One bit in the record that names a queue: its messages are all still there, under its name."""
    count = 2000 if size == "whole" else 300
    with Folder() as folder:
        broker = Broker(folder)
        for name in ("IMPORTANT.ORDERS", "OTHER"):
            broker.fill(name, count, content(name))
        broker.stop()
        segment = f"{broker.data}/{broker.segments()[0]}"
        with open(segment, "rb") as file:
            log = file.read()
        places = [match.start() for match in re.finditer(b"IMPORTANT.ORDERS", log)]
        check(len(places) > count // 2, "the name is not in the log")
        # The record of the destination stands by itself: no producer's id is near it.
        alone = [place for place in places if b"hostile-" not in log[max(0, place - 400):place]]
        check(alone, "no record names the queue")
        flip(segment, alone[0] + 3)
        broker.must_start()
        for name in ("OTHER", "IMPORTANT.ORDERS"):
            taken = len(drain(broker.port, name, limit=count))
            check(taken == count, f"{taken} of {count} messages of {name}; log: {broker.complaints()[:3]}")
        broker.stop()


def last_group(size):
    """A bit in the last groups after an orderly end costs the message that it hit."""
    trials = 40 if size == "whole" else 6
    chance = random.Random(5)
    with Folder() as folder:
        broker = Broker(folder)
        broker.fill("LAST", 20000, b"L" * 1000, chunk=20000)
        broker.stop()
        segment = f"{broker.data}/{broker.segments()[0]}"
        with open(segment, "rb") as file:
            log = file.read()
        end = len(log.rstrip(b"\0"))
        for _ in range(trials):
            with Folder() as copy:
                os.system(f"cp -r --sparse=always {broker.data} {copy.path}/data")
                flip(f"{copy.path}/data/{broker.segments()[0]}", chance.randrange(end - 400_000, end), chance.randrange(8))
                other = Broker(copy, port=broker.port)
                other.must_start()
                lost = 20000 - len({got.sequence for got in drain(broker.port, "LAST", quiet=0.7)})
                check(lost <= 1, f"one bit costs {lost} messages; log: {other.complaints()[:3]}")
                check(lost == 0 or other.complaints(), "a message is gone and the log says nothing")
                other.kill()


def cold_bodies(size):
    """Bits flip in bodies that are only on the disk while the broker runs: none is delivered altered, all others are delivered, each loss is told."""
    drivers = [("direct", "epoll"), ("mapped", "uring")] if size == "whole" else [("direct", "epoll")]
    count = 20000 if size == "whole" else 6000
    for storage, io in drivers:
        with Folder() as folder:
            broker = Broker(folder, SMALL_SEGMENTS, ["--storage", storage, "--io", io])
            broker.fill("ROT", count, content("r", 1000), chunk=100).close()
            flipped = flip_bodies(broker, broker.segments()[:-4][:15], 8)
            taken = drain(broker.port, "ROT", quiet=3, prefetch=1000)
            altered = sum(got.content != content("r", 1000) for got in taken)
            missing = count - len({got.sequence for got in taken})
            broker.must_live()
            check(altered == 0, f"{storage} {io}: {altered} delivered altered")
            check(0 < missing <= flipped, f"{storage} {io}: {missing} missing of {flipped} hit")
            check(broker.complaints(), "messages are gone and the log says nothing")
            broker.stop()


def flip_bodies(broker, segments, each):
    """Flips bits inside bodies, and makes sure that nobody has the old ones in memory."""
    chance = random.Random(4)
    flipped = 0
    for name in segments:
        with open(f"{broker.data}/{name}", "rb") as file:
            data = file.read()
        for _ in range(each):
            while True:
                place = chance.randrange(8192, len(data))
                if data[place - 40:place + 40] in (b"r:" * 40, b":r" * 40):
                    break
            flip(f"{broker.data}/{name}", place, chance.randrange(8))
            flipped += 1
    forget_pages()
    return flipped


def forget_pages():
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("1")


def reclaim(size, fault):
    """Reclaim walks a front of which one message in ten lives, while reads fail or after bits have rotted; no consumer takes part."""
    count = 20000 if size == "whole" else 8000
    kept = range(0, count, 10)
    with Folder() as folder:
        broker = Broker(folder, SMALL_SEGMENTS)
        broker.must_start()
        connection = Connection(broker.port)
        connection.produce("GO")
        connection.produce("KEEP", producer=2)
        for number in range(count):
            name, producer = ("KEEP", 2) if number in kept else ("GO", 1)
            last = number % 500 == 499
            command = connection.command()
            connection.send(message(command, connection.id, name, number + 1, content(number, 1000), producer=producer, wants_answer=int(last)))
            if last:
                connection.wait(command)
        hit = 0
        if fault == "bits":
            hit = rot(broker, kept, 20)
        with FailingReads(broker) if fault == "EIO" else Folder():
            connection.call(lambda command: destination_info(command, connection.id, "GO", DELETE, kind=QUEUE))
            connection.produce("MORE", producer=3)
            connection.fill_queue("MORE", 600, content("more", 2000), chunk=50, producer=3)
            broker.must_live()
        taken = drain(broker.port, "KEEP", quiet=4)
        altered = sum(got.content != content(got.sequence - 1, 1000) for got in taken)
        check(altered == 0, f"{altered} altered")
        missing = len(kept) - len({got.sequence for got in taken})
        check(missing <= hit and (missing > 0) == (hit > 0), f"{missing} of {len(kept)} missing, {hit} hit; log: {broker.complaints()[:3]}")
        check(hit == 0 or broker.complaints(), "messages are gone and the log says nothing")
        broker.stop()


def rot(broker, kept, wanted):
    chance = random.Random(wanted)
    hit = set()
    names = broker.segments()[:-4]
    while len(hit) < wanted:
        number = chance.choice(kept)
        for name in names:
            with open(f"{broker.data}/{name}", "rb") as file:
                place = file.read().find(f":{number}".encode() * 20)
            if place > 0 and number not in hit:
                flip(f"{broker.data}/{name}", place + 30)
                hit.add(number)
    forget_pages()
    return len(hit)
