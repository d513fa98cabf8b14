"""Harms to data directories, stopped or under a broker that runs on them, drawn from a seed: nothing is altered, nothing lost but what was hit and is told,
nothing ends by itself.   flips.py COUNT [FIRST]"""
import collections
import multiprocessing
import os
import sys
import time

from broker import Failed, Folder, end_all
from cases import Case, SpoolCase
from scene import ENDINGS, SEED, Ports, Scene
from verdict import Red

SPOOL = 10
"""One case in so many is of the spool."""
PROGRESS = 500


def attempt(number):
    """What became of one case: what it did, and its verdict."""
    case = (SpoolCase if number % SPOOL == SPOOL - 1 else Case)(number, Here.scenes, Here.ports)
    with Folder() as folder:
        try:
            return outcome(case, folder)
        finally:
            end_all()


def outcome(case, folder):
    """Name, messages that it cost, refusals, and what did not hold: kind and text."""
    try:
        lost = case.run(folder)
        return case.name(), lost, case.refusals, None
    except (Red, Failed, EOFError, OSError) as error:
        kind = error.kind if isinstance(error, Red) else "abort"
        return case.name(), 0, case.refusals, (kind, f"flips: {case}: {error}")


def first_port():
    return int(os.environ.get("PORT", 20000 + os.getpid() * 7 % 8000))


def main(count, first):
    begin, jobs = time.time(), int(os.environ.get("JOBS", os.cpu_count() or 1))
    base = first_port()
    scenes = [Scene(ending, Ports(base, 8)) for ending in ENDINGS]
    found, red = collections.Counter(), collections.Counter()
    with multiprocessing.Pool(jobs, prepare, (scenes, base)) as pool:
        for done, (harm, lost, refusals, verdict) in enumerate(pool.imap_unordered(attempt, range(first, first + count)), 1):
            found.update({harm: 1, "lost": lost, "refusals": refusals})
            if done % PROGRESS == 0:
                print(f"flips: {done} of {count}, {time.time() - begin:.0f} s", flush=True)
            if verdict:
                red[verdict[0]] += 1
                print(verdict[1], flush=True)
    for scene in scenes:
        scene.folder.__exit__()
    print(f"flips: {count} harms (SEED {SEED}) in {time.time() - begin:.0f} s, {dict(sorted(found.items()))}")
    print(f"flips: {'FAILED, ' + str(dict(red)) if red else 'passed'}")
    return 1 if red else 0


class Here:
    """What a process of the pool has: it was forked with the scenes."""
    scenes, ports = [], None


def prepare(scenes, base):
    Here.scenes, Here.ports = scenes, Ports(base + 10 + (multiprocessing.current_process()._identity[0] - 1) % 8 * 100, 100)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
