"""Turns flips.py's verdicts red by planted bugs: the binary is one with the cargo feature `plant`.   control.py"""
import os
import sys

import harms
from broker import Folder, end_all
from cases import Case
from flips import first_port, outcome
from scene import ENDINGS, Ports, Scene

HITS = (harms.bit, harms.structural_bit, harms.sector, harms.last_group_bit)
REFUSED = (harms.missing, harms.swapped, harms.cut)
PLANTED = (
    ("", None, HITS), ("skip-body-crc", "altered", HITS), ("damage-untold", "silent", HITS), ("damage-unnamed", "unnamed", HITS), ("sound-named", "lie", HITS),
    ("damage-ends-all", "abort", HITS), ("cold-forgotten", "stuck", HITS), ("stand-in-unwritten", "refusal", REFUSED),
)
"""What is planted, the verdict that has to come of it, and the harms that it needs."""
MOST = 25


def expects_more(known):
    known.add("nobody:1:1:1", b"never sent", "FLIPS.ONE")


def knows_less(known):
    for identity in list(known.expected())[:50]:
        del known.contents[identity]


MISTAKEN = ((expects_more, "lost"), (knows_less, "invented"))
"""What makes the oracle itself wrong, and the verdict that has to come of it."""


def verdicts(scenes, ports, hits=HITS, mistake=lambda known: None):
    """Of one case after the other."""
    tried = (Case(number, scenes, ports) for number in range(1000))
    for case in [case for case in tried if case.harm in hits][:MOST]:
        mistake(case.known)
        with Folder() as folder:
            verdict = outcome(case, folder)[-1]
            end_all()
        yield verdict


def comes(wanted, these, what):
    """Whether the verdict comes, or none where none is wanted."""
    seen = []
    for verdict in these:
        seen.append(verdict and verdict[0])
        if wanted and wanted in seen:
            break
    good = wanted in seen if wanted else set(seen) == {None}
    print(f"control: {what}: {wanted if good else seen}{'' if good else ', FAILED'} after {len(seen)} harms", flush=True)
    return good


def main():
    os.environ.pop("POSTRIDER_PLANT", None)
    ports = Ports(first_port(), 200)
    scenes, good = [Scene(ending, ports) for ending in ENDINGS], []
    for plant, wanted, hits in PLANTED:
        os.environ["POSTRIDER_PLANT"] = plant
        good.append(comes(wanted, verdicts(scenes, ports, hits), f"{plant or 'nothing'} planted"))
    os.environ["POSTRIDER_PLANT"] = ""
    for mistake, wanted in MISTAKEN:
        good.append(comes(wanted, verdicts(scenes, ports, mistake=mistake), f"an oracle that {mistake.__name__.replace('_', ' ')}"))
    for scene in scenes:
        scene.folder.__exit__()
    print(f"control: {'passed' if all(good) else 'FAILED'}")
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
