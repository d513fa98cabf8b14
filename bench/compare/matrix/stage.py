"""One broker with an empty directory, what goes on at it, and the rows that it leaves."""

import os
import shlex
import shutil
import time

from matrix import rows
from matrix.processes import Failed, Program

# Seconds beyond those of the load itself that a program may take: connections to set up and to leave.
CONNECTING = 60
# Artemis as `create` sets it up tells nobody of temporary destinations; its manual has clients not wait for that.
CLIENT_OPTIONS = {"artemis": "jms.watchTopicAdvisories=false"}
# Bytes of the generator's socket buffers: what the ActiveMQ client asks for (its socketBufferSize). The kernel's own grow to megabytes.
CLIENT_BUFFER = 64 << 10
# Seconds until a subscriber is there.
SUBSCRIBED = 1.5


class Stage:
    """`generator` and `client` are the commands that put load on it, `labels` what all of its rows have."""

    def __init__(self, size, broker, generator, client, labels):
        self.size, self.broker, self.generator, self.java, self.labels = size, broker, generator, client, labels
        self.rows, self.programs = [], []

    def __enter__(self):
        self.broker.__enter__()
        return self

    def __exit__(self, *_):
        for program in self.programs:
            program.kill()
        self.broker.__exit__()
        shutil.rmtree(os.path.join(self.broker.directory, "data"), ignore_errors=True)

    def load(self, step, options, **times):
        """A run of the generator from begin to end; its row, or None where it failed."""
        return self.end(step, self.begin(options, **times))

    def begin(self, options, rate=None, warm_up=0.0, seconds=None, drain=30.0, patience=0.0, cpu=True):
        """Starts the generator. `patience` is how long runs of a number of messages may take; without `cpu` the broker's work
        is not taken for what this load alone costs."""
        command = [*self.generator, f"127.0.0.1:{self.broker.port}", *shlex.split(options), "--json"]
        command += ["--socket-buffer", str(CLIENT_BUFFER)]
        command += ["--broker-pid", str(self.broker.pid)] if cpu else []
        command += ["--warm-up", str(warm_up), "--drain-seconds", str(drain)]
        command += ["--rate", str(rate)] if rate else []
        command += ["--seconds", str(seconds)] if seconds else []
        begun = self.start(command, CONNECTING + warm_up + (seconds or patience) + drain)
        return begun, rate, "--backlog" in options

    def end(self, step, begun):
        program, rate, closed = begun
        try:
            row = rows.row(program.report(), rate, closed)
            return self.keep(step, {**row, "memory_mib": anonymous_memory(self.broker.pid)})
        except Failed as failed:
            return self.fail(step, failed)

    def client(self, step, mode, clients):
        """A run of the Java client."""
        size = self.size
        url = f"tcp://127.0.0.1:{self.broker.port}?{CLIENT_OPTIONS.get(self.broker.name, '')}"
        command = [*self.java, url, mode, str(clients)]
        command += [str(size.warm_up), str(size.rate), str(size.drain), str(self.broker.pid)]
        program = self.start(command, CONNECTING + size.warm_up + size.rate + size.drain)
        return self.end(step, (program, None, mode != "async"))

    def stopped_subscriber(self):
        """One more subscriber of the topic, which reads nothing until the end."""
        options = "--topic -p 0 -c 1 --non-persistent --seconds 1e6"
        program = self.start([*self.generator, f"127.0.0.1:{self.broker.port}", *options.split()], None)
        time.sleep(SUBSCRIBED)
        program.stop()

    def wait(self, seconds):
        time.sleep(seconds)

    def start(self, command, limit):
        program = Program(command, limit)
        self.programs.append(program)
        return program

    def keep(self, step, row):
        self.rows.append({**self.labels, "step": step, **row})
        return row

    def fail(self, step, reason):
        code = self.broker.process.poll()
        ended = "" if code is None else f"; the broker has ended with {code}"
        self.keep(step, rows.failure(f"{reason}{ended}"))


def anonymous_memory(pid):
    """MiB of a process that are no file's; none if it has ended."""
    try:
        with open(f"/proc/{pid}/status") as lines:
            return next((int(line.split()[1]) >> 10 for line in lines if line.startswith("RssAnon:")), None)
    except OSError:
        return None
