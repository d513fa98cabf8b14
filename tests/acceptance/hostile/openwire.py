"""A client that speaks just enough OpenWire (version 12, loose, without cache) to be hostile: it writes any frame, and reads what comes."""
import itertools
import os
import socket
import struct
import time
import zlib

QUEUE, TOPIC, TEMPORARY_QUEUE = 100, 101, 102
WIRE_FORMAT_INFO, EXCEPTION_RESPONSE, RESPONSE, DISPATCH, CONNECTION_ERROR = 1, 31, 30, 21, 16
CREATE, DELETE = 0, 1
pack = struct.pack


def string(value):
    if value is None:
        return b"\0"
    value = value if isinstance(value, bytes) else value.encode()
    return b"\1" + pack(">H", len(value)) + value


def byte_array(value):
    return b"\0" if value is None else b"\1" + pack(">i", len(value)) + value


def frame(kind, payload):
    return pack(">iB", len(payload) + 1, kind) + payload


def head(command, wants_answer):
    return pack(">iB", command, wants_answer)


def destination(name, kind=QUEUE):
    return bytes([1, kind]) + string(name)


def connection_id(connection):
    return b"\1\x78" + string(connection)


def session_id(connection, session=1):
    return b"\1\x79" + string(connection) + pack(">q", session)


def consumer_id(connection, consumer=1, session=1):
    return b"\1\x7a" + string(connection) + pack(">qq", session, consumer)


def producer_id(connection, producer=1, session=1):
    return b"\1\x7b" + string(connection) + pack(">qq", producer, session)


def wire_format_info(max_frame=104857600, inactivity=None):
    entries = pack(">H", 12) + b"MaxFrameSize" + b"\6" + pack(">q", max_frame)
    count = 1
    if inactivity is not None:
        for name in (b"MaxInactivityDuration", b"MaxInactivityDurationInitalDelay"):
            entries += pack(">H", len(name)) + name + b"\6" + pack(">q", inactivity)
            count += 1
    entries = pack(">i", count) + entries
    return frame(WIRE_FORMAT_INFO, b"ActiveMQ" + pack(">i", 12) + b"\1" + pack(">i", len(entries)) + entries)


def connection_info(command, connection):
    return frame(3, head(command, 1) + connection_id(connection) + string(connection) + b"\0\0\0" + bytes([0, 1, 1, 0, 0]) + b"\0")


def session_info(command, connection, session=1):
    return frame(4, head(command, 1) + session_id(connection, session))


def consumer_info(command, connection, name, prefetch=1000, consumer=1, kind=QUEUE, no_local=0, exclusive=0, wants_answer=1, browser=0):
    return frame(5, head(command, wants_answer) + consumer_id(connection, consumer) + bytes([browser]) + destination(name, kind)
                 + pack(">iiB", prefetch, 0, 1) + b"\0" + string(connection) + b"\0"
                 + bytes([no_local, exclusive, 0, 0]) + b"\0" * 6)


def producer_info(command, connection, name, producer=1, kind=QUEUE):
    return frame(6, head(command, 1) + producer_id(connection, producer) + destination(name, kind) + b"\0\1" + pack(">i", 0))


def destination_info(command, connection, name, operation, kind=TEMPORARY_QUEUE, wants_answer=1):
    return frame(8, head(command, wants_answer) + connection_id(connection) + destination(name, kind) + bytes([operation]) + pack(">q", 0) + b"\0")


def message(command, connection, name, sequence, content, persistent=1, wants_answer=1, kind=QUEUE, producer=1, expiration=0):
    return frame(24, head(command, wants_answer) + producer_id(connection, producer) + destination(name, kind) + b"\0\0"
                 + b"\1\x6e\0" + producer_id(connection, producer) + pack(">qq", sequence, 0) + b"\0\0" + pack(">i", 0) + b"\0"
                 + bytes([persistent]) + pack(">qB", expiration, 4) + b"\0" + pack(">q", 1) + b"\0" + byte_array(content) + b"\0\0\0\0"
                 + pack(">i", 0) + b"\0" + pack(">q", 0) + b"\0\0\0\0" + pack(">qq", 0, 0) + b"\0")


def acknowledgement(command, connection, name, first, last, count, kind=QUEUE, wants_answer=0):
    return frame(22, head(command, wants_answer) + destination(name, kind) + b"\0" + consumer_id(connection) + b"\2" + first + last
                 + pack(">i", count) + b"\0")


class Message:
    """What a dispatch brought: its MessageId as it was marshalled and as clients see it, the producer's sequence in it, and the content."""

    def __init__(self, data):
        at = skip(data, 6)
        at = skip(data, at)
        self.identity = None
        if not data[at]:
            return
        at += 2 + 5
        for _ in range(4):
            at = skip(data, at)
        start, at = at, skip(data, at)
        self.identity = bytes(data[start:at])
        self.sequence = struct.unpack_from(">q", data, at - 16)[0]
        value, session = struct.unpack_from(">qq", data, at - 32)
        self.id = f"{data[start + 8:at - 32].decode()}:{session}:{value}:{self.sequence}"
        at = skip(data, at)
        at = skip_string(data, at) + 4
        at = skip_string(data, at) + 10
        at = skip(data, at) + 8
        at = skip_string(data, at)
        self.content = b""
        if data[at]:
            length = struct.unpack_from(">i", data, at + 1)[0]
            self.content = bytes(data[at + 5:at + 5 + length])


def skip_string(data, at):
    return at + 3 + struct.unpack_from(">H", data, at + 1)[0] if data[at] else at + 1


def skip(data, at):
    """Behind a nested structure."""
    if not data[at]:
        return at + 1
    kind, at = data[at + 1], at + 2
    if kind in (QUEUE, TOPIC, TEMPORARY_QUEUE, 103, 120, 124):
        return skip_string(data, at)
    if kind == 121:
        return skip_string(data, at) + 8
    if kind in (122, 123):
        return skip_string(data, at) + 16
    if kind == 110:
        return skip(data, skip_string(data, at)) + 16
    if kind == 8:
        at = skip(data, skip(data, at + 5))
        return at + 1 + 8 + 1
    raise ValueError(f"structure {kind} at {at}")


class Refused(Exception):
    """The broker answered with an exception."""


class Connection:
    """One connection. `inactivity=0` switches the broker's check off, so that it may be silent."""
    numbers = itertools.count()

    def __init__(self, port, timeout=30, inactivity=0, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received, self.at, self.commands = bytearray(), 0, 0
        self.dispatched, self.errors = [], []
        self.id = f"hostile-{os.getpid()}-{next(self.numbers)}-{time.time_ns()}"
        self.send(wire_format_info(inactivity=inactivity))
        while self.frame()[0] != WIRE_FORMAT_INFO:
            pass
        self.call(lambda command: connection_info(command, self.id))
        self.call(lambda command: session_info(command, self.id))

    def send(self, data):
        self.socket.sendall(data)

    def command(self):
        self.commands += 1
        return self.commands

    def fill(self):
        data = self.socket.recv(262144)
        if not data:
            raise EOFError("the broker closed the connection")
        if self.at:
            del self.received[:self.at]
            self.at = 0
        self.received += data

    def buffered(self):
        """A whole frame that has come, without its length."""
        if len(self.received) - self.at < 4:
            return None
        length = struct.unpack_from(">i", self.received, self.at)[0]
        end = self.at + 4 + length
        if len(self.received) < end:
            return None
        data, self.at = bytes(self.received[self.at + 4:end]), end
        return data

    def frame(self, timeout=None):
        while True:
            data = self.buffered()
            if data is not None:
                return data
            if timeout is not None:
                self.socket.settimeout(timeout)
            self.fill()

    def wait(self, command, timeout=30):
        """The answer to a command; dispatches and errors on the way are kept."""
        end = time.time() + timeout
        while True:
            data = self.frame(max(0.01, end - time.time()))
            if data[0] in (RESPONSE, EXCEPTION_RESPONSE) and struct.unpack_from(">i", data, 6)[0] == command:
                if data[0] == EXCEPTION_RESPONSE:
                    raise Refused(printable(data))
                return
            if data[0] == DISPATCH:
                self.dispatched.append(data)
            elif data[0] == CONNECTION_ERROR:
                self.errors.append(printable(data))

    def call(self, make, timeout=30):
        command = self.command()
        self.send(make(command))
        self.wait(command, timeout)

    def ask(self, timeout=30):
        """Asks for an answer to something that changes nothing much; how long it took, in seconds."""
        start = time.time()
        self.call(lambda command: session_info(command, self.id, 2), timeout)
        return time.time() - start

    def produce(self, name, producer=1, kind=QUEUE):
        self.call(lambda command: producer_info(command, self.id, name, producer, kind))

    def consume(self, name, prefetch=1000, kind=QUEUE, **more):
        self.call(lambda command: consumer_info(command, self.id, name, prefetch, kind=kind, **more))

    def put(self, name, sequence, content, timeout=30, **more):
        """One message, and its answer."""
        self.call(lambda command: message(command, self.id, name, sequence, content, **more), timeout)

    def fill_queue(self, name, count, content, chunk=500, timeout=120, **more):
        """Many messages with the sequences from 1 on; the last of each chunk wants an answer, two chunks are unanswered at most."""
        template = message(0x11223344, self.id, name, 0x1122334455667788, content, wants_answer=0, **more)
        command_at, sequence_at = template.index(pack(">i", 0x11223344)), template.index(pack(">q", 0x1122334455667788))
        waiting = []
        for start in range(0, count, chunk):
            size = min(chunk, count - start)
            data = bytearray(template * size)
            for index in range(size):
                struct.pack_into(">q", data, index * len(template) + sequence_at, start + index + 1)
            command = self.command()
            struct.pack_into(">iB", data, (size - 1) * len(template) + command_at, command, 1)
            self.send(data)
            waiting.append(command)
            if len(waiting) > 2:
                self.wait(waiting.pop(0), timeout)
        for command in waiting:
            self.wait(command, timeout)

    def close(self):
        self.socket.close()


def drain(port, name, quiet=1.0, prefetch=5000, window=500, limit=None, until=None):
    """Takes all messages of a queue, acknowledged in ranges, until `until` has come or none for `quiet` seconds."""
    connection = Connection(port)
    connection.consume(name, prefetch)
    waiting, taken, unanswered = list(connection.dispatched), [], []

    def acknowledge(wants_answer):
        if not unanswered:
            return None
        command = connection.command()
        connection.send(acknowledgement(command, connection.id, name, unanswered[0], unanswered[-1], len(unanswered), wants_answer=wants_answer))
        unanswered.clear()
        return command

    try:
        while limit is None or len(taken) < limit:
            data = waiting.pop(0) if waiting else connection.frame(quiet)
            if data[0] != DISPATCH:
                continue
            got = Message(data)
            if got.identity is None:
                break
            taken.append(got)
            unanswered.append(got.identity)
            if got.id == until:
                break
            if len(unanswered) >= window:
                acknowledge(0)
    except TimeoutError:
        pass
    command = acknowledge(1)
    if command:
        connection.wait(command)
    connection.close()
    return taken


def content(number, size=400):
    """What message `number` carries: it says who it is, and cannot be altered unseen."""
    text = (f"{number}:".encode() * (size // 2 + 1))[:size]
    return pack(">I", zlib.crc32(text)) + text


def printable(data):
    return bytes(byte if 32 <= byte < 127 else 46 for byte in data[10:900]).decode()
