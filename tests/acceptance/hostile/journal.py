"""Reads an undamaged journal as docs/journal-format.md has it: where each record's bytes are. Knows nothing of the broker's own code."""
import copy
import os
import struct
import zlib

SEGMENT_COPIES = ((0, 64), (2048, 2112))
FRAME_MAGIC = 0x31465250
FRAME_HEADER, BODY_HEADER, ENTRY, MARKER = 64, 20, 32, 8
PAD, MESSAGE = 1, 9
RECORD_HEAD = 76
PRODUCER_CONNECTION = 1


class Record:
    """One record: the spans of its file that it takes. A span is (from, to)."""

    def __init__(self, file, kind, sequence, entry, frame=None):
        self.file, self.frame, self.kind, self.sequence, self.entry = file, frame, kind, sequence, entry
        self.body = self.head = self.content = None
        self.id = None

    def name(self, data, start):
        """Reads the head of the message that begins at `start`."""
        fields, properties = struct.unpack_from("<II", data, start + 64)
        content = start + RECORD_HEAD + fields + properties
        self.head, self.content = (start - BODY_HEADER, content), (content, self.body[1])
        sequence, session, value = struct.unpack_from("<qqq", data, start + 32)
        tag, size = struct.unpack_from("<BI", data, start + RECORD_HEAD)
        assert tag == PRODUCER_CONNECTION
        connection = data[start + RECORD_HEAD + 5:start + RECORD_HEAD + 5 + size].decode()
        self.id = f"{connection}:{session}:{value}:{sequence}"

    def spans(self):
        return [span for span in (self.entry, self.body) if span]


class Frame:
    def __init__(self, segment, start, length, position, durable):
        self.segment, self.start, self.end, self.position, self.durable = segment, start, start + length, position, durable
        self.header = (start, start + FRAME_HEADER)
        self.marker = None
        self.records = []
        self.before = None


class Segment:
    """A file `segment-...`: its frames, pads without records included."""

    def __init__(self, directory, name):
        self.name = name
        with open(f"{directory}/{name}", "rb") as file:
            self.bytes = file.read()
        self.block, self.key, self.number, self.size = struct.unpack_from("<IQQQ", self.bytes, 12)
        self.start = self.number * (1 << 20)
        self.frames = list(self.read())
        self.written = max([frame.start + FRAME_HEADER if frame.marker is None else frame.end for frame in self.frames] or [0])

    def read(self):
        at, before = self.block, None
        while at + FRAME_HEADER <= len(self.bytes):
            frame = self.frame(at)
            if frame is None:
                at = (at // self.block + 1) * self.block
                continue
            frame.before, before = before, frame
            yield frame
            at = (frame.end + 7) // 8 * 8

    def frame(self, at):
        magic, check, position, epoch, kind = struct.unpack_from("<IIQIB", self.bytes, at)
        if magic != FRAME_MAGIC ^ self.key >> 32 or position != self.start + at:
            return None
        seed = (self.key ^ position ^ epoch * 0x9E3779B1) & 0xFFFFFFFF
        if zlib.crc32(self.bytes[at + 8:at + FRAME_HEADER], seed) != check:
            return None
        durable, _, _, length, directory, _, _ = struct.unpack_from("<QQQIIII", self.bytes, at + 24)
        frame = Frame(self, at, length, position, durable)
        if kind != PAD:
            marker = at + length - directory
            frame.marker = (marker, marker + MARKER)
            frame.records = list(self.records(frame, marker + MARKER))
        return frame

    def records(self, frame, at):
        while at + ENTRY <= frame.end:
            kind, _, meta, length, _, sequence, offset, _ = struct.unpack_from("<BBHIIQII", self.bytes, at + 4)
            record = Record(self, kind, sequence, (at, at + ENTRY + meta), frame)
            if offset:
                self.body(record, frame.start + offset, length)
            yield record
            at += ENTRY + meta

    def body(self, record, start, length):
        record.body = (start - BODY_HEADER, start + length)
        if record.kind == MESSAGE:
            record.name(self.bytes, start)


class Log:
    """All segments of a directory."""

    def __init__(self, directory):
        names = sorted(name for name in os.listdir(directory) if name.startswith("segment-"))
        self.segments = [segment for segment in (Segment(directory, name) for name in names) if segment.written]
        self.frames = [frame for segment in self.segments for frame in segment.frames]
        self.records = [record for frame in self.frames for record in frame.records]
        self.messages = {}
        for record in self.records:
            if record.id:
                self.messages.setdefault(record.id, []).append(record)
        # Where the last two groups begin: after a kill without a rest damage there looks torn.
        self.doubtful = sorted({frame.durable for frame in self.frames})[-3:][0]

    def without_last(self):
        """The same but for the newest segment, which a broker goes on to write."""
        cold = copy.copy(self)
        cold.segments = self.segments[:-1]
        cold.frames = [frame for segment in cold.segments for frame in segment.frames]
        return cold

    def last_frame(self):
        """The last one with records."""
        return next(frame for frame in reversed(self.frames) if frame.records)


class Spilled:
    """A file `spill-...`: message after message, each behind its header."""

    def __init__(self, directory, name):
        self.name, self.frames, self.records = name, [], []
        with open(f"{directory}/{name}", "rb") as file:
            self.bytes = file.read()
        at = 0
        while at + BODY_HEADER + RECORD_HEAD < len(self.bytes):
            length, sequence = struct.unpack_from("<IQ", self.bytes, at + 4)
            if not length:
                break
            record = Record(self, MESSAGE, sequence, None)
            record.body = (at, at + BODY_HEADER + length)
            record.name(self.bytes, at + BODY_HEADER)
            self.records.append(record)
            at += BODY_HEADER + length
        self.written = at
