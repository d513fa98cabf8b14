"""Runs attacks; each is a function that says by an exception what did not hold.   run.py small|whole|control [ATTACK...]"""
import functools
import os
import sys
import time
import traceback

import broker
import crowds
import damage
import disk
import ending
import memory
import spill
from openwire import QUEUE, TOPIC

ATTACKS = {
    "name-of-a-queue": damage.name_of_a_queue,
    "last-group": damage.last_group,
    "cold-bodies": damage.cold_bodies,
    "reclaim-eio": functools.partial(damage.reclaim, fault="EIO"),
    "reclaim-rot": functools.partial(damage.reclaim, fault="bits"),
    "full-for-a-while": disk.full_for_a_while,
    "full-over-a-restart": disk.full_over_a_restart,
    "small-budget": disk.start_on_a_small_budget,
    "unreadable-for-a-while": disk.unreadable_for_a_while,
    "no-descriptors": disk.no_descriptors,
    "spill-full": functools.partial(spill.spilling, answer="error=ENOSPC", holds=True),
    "spill-eio": functools.partial(spill.spilling, answer="error=EIO", holds=True),
    "spill-short": functools.partial(spill.spilling, answer="retval=512:when=1+2", holds=False),
    "spill-unreadable": spill.unreadable,
    "spool-queue": functools.partial(disk.spool, kind=QUEUE),
    "spool-topic": functools.partial(disk.spool, kind=TOPIC),
    "consumers-queue": functools.partial(crowds.consumers, kind=QUEUE),
    "consumers-topic": functools.partial(crowds.consumers, kind=TOPIC),
    "consumers-exclusive": functools.partial(crowds.consumers, kind=QUEUE, exclusive=1),
    "patterns": crowds.patterns,
    "temporaries": crowds.temporaries,
    "names": crowds.names,
    "advisories": crowds.advisories,
    "half-frames-epoll": crowds.half_frames_epoll,
    "half-frames-uring": crowds.half_frames_uring,
    "unread-epoll": functools.partial(memory.unread, io="epoll"),
    "unread-uring": functools.partial(memory.unread, io="uring"),
    "failed-driver": ending.failed_driver,
    "parked-epoll": functools.partial(memory.parked, io="epoll"),
    "parked-uring": functools.partial(memory.parked, io="uring"),
    "peak": memory.peak,
}


CONTROLS = {
    "spill-full": "spill-failure-unseen",
    "spill-eio": "spill-failure-unseen",
    "spill-short": "short-write-believed",
    "spill-unreadable": "unreadable-is-zeros",
    "unreadable-for-a-while": "unreadable-is-zeros",
    "cold-bodies": "skip-body-crc",
}
"""Attacks that a planted bug has to fail."""


def control(wanted):
    """With a broker that has the cargo feature `plant`: each of these attacks fails."""
    missed = []
    for name in wanted or CONTROLS:
        os.environ["POSTRIDER_PLANT"] = CONTROLS[name]
        try:
            ATTACKS[name]("small")
            missed.append(name)
            print(f"control: {name} passes in spite of {CONTROLS[name]}: FAILED", flush=True)
        except broker.Failed as error:
            print(f"control: {name} fails with {CONTROLS[name]}, as it should: {str(error)[:120]}", flush=True)
        finally:
            broker.end_all()
    print(f"control: {'FAILED' if missed else 'passed'}")
    return 1 if missed else 0


def main(size, wanted):
    failed, skipped = [], []
    for name in wanted or ATTACKS:
        begin = time.time()
        try:
            ATTACKS[name](size)
            print(f"{name}: passed ({time.time() - begin:.0f} s)", flush=True)
        except broker.Skipped as error:
            skipped.append(name)
            print(f"{name}: SKIPPED: {error}", flush=True)
        except Exception as error:
            failed.append(name)
            print(f"{name}: FAILED ({time.time() - begin:.0f} s): {error}", flush=True)
            if not isinstance(error, broker.Failed):
                traceback.print_exc(limit=-3)
        finally:
            broker.end_all()
    print(f"hostile: {'FAILED: ' + ' '.join(failed) if failed else 'passed'}{', SKIPPED: ' + ' '.join(skipped) if skipped else ''}")
    return 1 if failed else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["control"] and set(sys.argv[2:]) <= set(CONTROLS):
        sys.exit(control(sys.argv[2:]))
    if len(sys.argv) < 2 or sys.argv[1] not in ("small", "whole") or not set(sys.argv[2:]) <= set(ATTACKS):
        sys.exit(f"usage: run.py small|whole|control [{' | '.join(ATTACKS)}]...")
    sys.exit(main(sys.argv[1], sys.argv[2:]))
