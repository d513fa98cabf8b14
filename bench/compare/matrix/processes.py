"""Programs that put load on a broker: each with a time limit, and none that outlives the script."""

import json
import os
import shutil
import signal
import subprocess


class Failed(Exception):
    """A program did not bring a report; the text says why."""


def cores():
    return sorted(os.sched_getaffinity(0))


def split(count):
    """The broker's cores and those of the load; where none are left, it shares the broker's."""
    if count is None:
        return [], []
    return cores()[:count], cores()[count:] or cores()


def prefix(cores):
    """What starts a program on these cores (all, if there are none given), to end with the script, however that ends."""
    pinned = ["taskset", "-c", ",".join(map(str, cores))] if cores else []
    return [*pinned, *(["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else [])]


class Program:
    """A program that writes one line of JSON."""

    def __init__(self, command, limit):
        self.limit = limit
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def report(self):
        """Waits for it. The generator ends with 1 where its check found faults, which are in the report."""
        try:
            out, error = self.process.communicate(timeout=self.limit)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failed(f"not done within {self.limit:.0f} s") from None
        if self.process.returncode not in (0, 1):
            raise Failed(last_line(error) or f"the load ended with {self.process.returncode}")
        try:
            return json.loads(out)
        except ValueError:
            raise Failed(last_line(error) or "no report") from None

    def stop(self):
        """It stays, and does nothing more, as a client that hangs."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


def last_line(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].removeprefix("postrider bench: ").removeprefix("error: ") if lines else ""
