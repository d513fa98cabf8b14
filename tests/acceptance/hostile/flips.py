"""Damages a stopped directory in one place, and starts on it: what is refused must say how to go on, and then nothing else is lost.   flips.py N"""
import collections
import hashlib
import os
import random
import re
import sys

from broker import SMALL_SEGMENTS, Broker, Failed, Folder, check, end_all, flip
from openwire import Connection, content, drain

COUNT = 3000
BODY = content("flips", 1000)


def bit(data, chance):
    """One bit anywhere in what was written."""
    name, size = written(data, chance)
    flip(f"{data}/{name}", chance.randrange(size), chance.randrange(8))
    return 1


def sector(data, chance):
    """512 bytes of noise."""
    name, size = written(data, chance)
    with open(f"{data}/{name}", "r+b") as file:
        file.seek(chance.randrange(size) // 512 * 512)
        file.write(chance.randbytes(512))
    return 4


def removed(data, chance):
    """A file is missing."""
    os.remove(f"{data}/{written(data, chance)[0]}")
    return COUNT


def swapped(data, chance):
    """Two files have each other's names."""
    one, two = chance.sample([name for name, _ in used(data)], 2)
    os.rename(f"{data}/{one}", f"{data}/between")
    os.rename(f"{data}/{two}", f"{data}/{one}")
    os.rename(f"{data}/between", f"{data}/{two}")
    return COUNT


def resized(data, chance):
    """A byte more or less."""
    path = f"{data}/{written(data, chance)[0]}"
    os.truncate(path, os.path.getsize(path) + chance.choice([-1, 1]))
    return COUNT


def used(data):
    """Segments with records, and how much of each was written."""
    for name in sorted(name for name in os.listdir(data) if name.startswith("segment-")):
        with open(f"{data}/{name}", "rb") as file:
            size = len(file.read().rstrip(b"\0"))
        if size > 8192:
            yield name, size


def written(data, chance):
    return chance.choice(list(used(data)))


def digest(data):
    names = sorted(name for name in os.listdir(data) if name != "lock")
    return {name: hashlib.md5(open(f"{data}/{name}", "rb").read()).hexdigest() for name in names}


def start(broker):
    """Starts, giving up whatever the refusals name. How many files that were."""
    for given_up in range(8):
        before = digest(broker.data)
        if broker.start() is not None:
            return given_up
        text, code = broker.text(), broker.process.poll()
        check(code == 3, f"ends with {code}: {text[-400:]}")
        check(digest(broker.data) == before, f"a refused start changed the directory: {text[-400:]}")
        named = re.search(r"--give-up (segment-[0-9a-f]{16})", text)
        check(named, f"a refusal without a remedy: {text[-400:]}")
        broker.command += ["--give-up", named.group(1)]
    raise Failed(f"refused again and again: {broker.text()[-400:]}")


def one(source, kind, chance, port):
    with Folder() as copy:
        os.system(f"cp -r --sparse=always {source} {copy.path}/data")
        most = kind(f"{copy.path}/data", chance)
        broker = Broker(copy, SMALL_SEGMENTS, port=port)
        given_up = start(broker)
        taken = drain(broker.port, "FLIPS", quiet=0.7)
        broker.must_live()
        check(all(got.content == BODY for got in taken), "a message was delivered altered")
        lost = COUNT - len({got.sequence for got in taken})
        check(lost <= most, f"{lost} messages lost; log: {broker.complaints()[:3]}")
        check(lost == 0 or broker.complaints(), f"{lost} messages are gone and the log says nothing")
        broker.stop()
        check(Broker(copy, SMALL_SEGMENTS, port=port).start() is not None, "the start after that is refused")
        return lost, given_up


def main(count):
    chance = random.Random(7)
    found = collections.Counter()
    with Folder() as folder:
        broker = Broker(folder, SMALL_SEGMENTS)
        broker.must_start()
        connection = Connection(broker.port)
        connection.produce("FLIPS")
        connection.fill_queue("FLIPS", COUNT, BODY, chunk=100)
        broker.stop()
        kinds = [bit, sector, bit, removed, bit, swapped, bit, resized]
        for number in range(count):
            kind = kinds[number % len(kinds)]
            try:
                lost, given_up = one(broker.data, kind, chance, broker.port)
            except Failed as error:
                print(f"flips: {number}, {kind.__name__}: FAILED: {error}")
                return 1
            finally:
                end_all()
            found[kind.__name__] += 1
            found["lost"] += lost
            found["given up"] += given_up
    print(f"flips: passed, {dict(found)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
