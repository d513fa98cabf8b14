"""What may happen to a file of a data directory. Each harm draws its place from `chance` and changes files below `data`; `old` lists older copies of the directory."""
import os
import shutil

from broker import flip

TABLES = ("epochs-0", "epochs-1")


def bit(log, data, chance, old):
    """One bit of what was written."""
    segment = chance.choice(log.segments)
    flip(f"{data}/{segment.name}", chance.randrange(segment.written), chance.randrange(8))


def structural_bit(log, data, chance, old):
    """One bit of a part that a uniform draw seldom meets: headers, markers, entries, the heads of messages."""
    frame = chance.choice(log.frames)
    record = chance.choice(frame.records) if frame.records else None
    parts = [frame.header, frame.marker, record and record.entry, record and record.head, record and record.body]
    begin, end = chance.choice([part for part in parts if part])
    flip(f"{data}/{frame.segment.name}", chance.randrange(begin, end), chance.randrange(8))


def spilled_bit(log, data, chance, old):
    """One bit of a message's head in a file of the spool."""
    record = chance.choice(chance.choice(log.segments).records)
    flip(f"{data}/{record.file.name}", chance.randrange(*record.head), chance.randrange(8))


def sector(log, data, chance, old):
    """512 bytes of noise."""
    segment = chance.choice(log.segments)
    write(data, segment, chance.randrange(segment.written) // 512 * 512, chance.randbytes(512))


def zeroed(log, data, chance, old):
    """A block of zeros."""
    segment = chance.choice(log.segments)
    write(data, segment, chance.randrange(segment.written) // 4096 * 4096, bytes(4096))


def misplaced(log, data, chance, old):
    """A block of another place."""
    there, segment = chance.choice(log.segments), chance.choice(log.segments)
    begin = chance.randrange(there.written) // 4096 * 4096
    write(data, segment, chance.randrange(segment.written) // 4096 * 4096, there.bytes[begin:begin + 4096])


def header_copy(log, data, chance, old):
    """One bit in one copy of a segment's header."""
    flip(f"{data}/{chance.choice(log.segments).name}", chance.choice([0, 2048]) + chance.randrange(64), chance.randrange(8))


def header_copies(log, data, chance, old):
    """One bit in each copy of a segment's header."""
    name = chance.choice(log.segments).name
    for copy in (0, 2048):
        flip(f"{data}/{name}", copy + chance.randrange(64), chance.randrange(8))


def last_group_bit(log, data, chance, old):
    """One bit of the last frame with records."""
    frame = log.last_frame()
    flip(f"{data}/{frame.segment.name}", chance.randrange(frame.start, frame.end), chance.randrange(8))


def last_group(log, data, chance, old):
    """Noise over the last frame with records."""
    frame = log.last_frame()
    write(data, frame.segment, frame.start, chance.randbytes(frame.end - frame.start))


def last_group_part(log, data, chance, old):
    """Noise over a part of it, to its end or from its beginning."""
    frame = log.last_frame()
    place = chance.randrange(frame.start, frame.end)
    begin, end = chance.choice([(frame.start, place + 1), (place, frame.end)])
    write(data, frame.segment, begin, chance.randbytes(end - begin))


def missing(log, data, chance, old):
    os.remove(path(log, data, chance))


def swapped(log, data, chance, old):
    """Two files have each other's names."""
    one, two = (f"{data}/{segment.name}" for segment in chance.sample(log.segments, 2))
    os.rename(one, f"{data}/between")
    os.rename(two, one)
    os.rename(f"{data}/between", two)


def shorter(log, data, chance, old):
    """Without its last byte."""
    there = path(log, data, chance)
    os.truncate(there, os.path.getsize(there) - 1)


def cut(log, data, chance, old):
    """Without much of it."""
    there = path(log, data, chance)
    os.truncate(there, chance.randrange(os.path.getsize(there)))


def longer(log, data, chance, old):
    there = path(log, data, chance)
    os.truncate(there, os.path.getsize(there) + 1)


def old_copy(log, data, chance, old):
    """A segment as it once was."""
    earlier = chance.choice(old)
    names = [segment.name for segment in log.segments if os.path.exists(f"{earlier}/{segment.name}")]
    if names:
        name = chance.choice(names)
        shutil.copyfile(f"{earlier}/{name}", f"{data}/{name}")


def table_missing(log, data, chance, old):
    os.remove(f"{data}/{chance.choice(TABLES)}")


def tables_missing(log, data, chance, old):
    for name in TABLES:
        os.remove(f"{data}/{name}")


def table_bit(log, data, chance, old):
    table_bits(log, data, chance, old, [chance.choice(TABLES)])


def table_bits(log, data, chance, old, names=TABLES):
    for name in names:
        flip(f"{data}/{name}", chance.randrange(os.path.getsize(f"{data}/{name}")), chance.randrange(8))


def table_old(log, data, chance, old):
    shutil.copyfile(f"{chance.choice(old)}/epochs-0", f"{data}/{chance.choice(TABLES)}")


def tables_old(log, data, chance, old):
    earlier = chance.choice(old)
    for name in TABLES:
        shutil.copyfile(f"{earlier}/{name}", f"{data}/{name}")


def lock_missing(log, data, chance, old):
    os.remove(f"{data}/lock")


def path(log, data, chance):
    return f"{data}/{chance.choice(log.segments).name}"


def write(data, segment, at, these):
    with open(f"{data}/{segment.name}", "r+b") as file:
        file.seek(at)
        file.write(these[:len(segment.bytes) - at])


MANY, SOME, FEW = 8, 3, 1
HARMS = {
    bit: MANY, structural_bit: MANY, sector: MANY, zeroed: SOME, misplaced: SOME, header_copy: FEW, header_copies: FEW, last_group_bit: SOME, last_group: FEW,
    last_group_part: SOME, missing: SOME, swapped: SOME, shorter: FEW, cut: SOME, longer: FEW, old_copy: SOME, table_missing: FEW, tables_missing: FEW,
    table_bit: FEW, table_bits: FEW, table_old: FEW, tables_old: FEW, lock_missing: FEW,
}
"""And how often each is drawn."""
OF_THE_SPOOL = {bit: MANY, spilled_bit: MANY, sector: MANY, zeroed: SOME, misplaced: SOME, missing: SOME, swapped: SOME, shorter: SOME, cut: SOME}
"""What may happen to the spool's files."""
OF_THE_LAST = (last_group_bit, last_group, last_group_part)
RESIZED = (shorter, cut, longer)


def changed(before, after):
    """Which bytes of which file are not what they were, as lists of (from, to); to the end of all if they are not there."""
    spans = {}
    for name in sorted(set(os.listdir(before)) | set(os.listdir(after))):
        if name.startswith(("segment-", "epochs-", "spill-")):
            spans[name] = list(differences(contents(f"{before}/{name}"), contents(f"{after}/{name}")))
    return {name: parts for name, parts in spans.items() if parts}


def shortened(before, after):
    """Whether a file has lost bytes, or is gone."""
    def size(path):
        try:
            return os.path.getsize(path)
        except FileNotFoundError:
            return 0
    return any(size(f"{after}/{name}") < size(f"{before}/{name}") for name in os.listdir(before) if name.startswith(("segment-", "spill-")))


def contents(path):
    """Nothing of what is not there: files of a broker that runs come and go."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""


def differences(before, after):
    common = min(len(before), len(after))
    for at in unequal(before[:common], after[:common], 0, common, 65536):
        for sector in unequal(before, after, at, min(at + 65536, common), 512):
            different = [index for index in range(sector, min(sector + 512, common)) if before[index] != after[index]]
            yield different[0], different[-1] + 1
    if len(before) != len(after):
        yield common, float("inf")


def unequal(before, after, begin, end, step):
    """Where pieces of `step` bytes begin that differ."""
    return [at for at in range(begin, end, step) if before[at:min(at + step, end)] != after[at:min(at + step, end)]]
