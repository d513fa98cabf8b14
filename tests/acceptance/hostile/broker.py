"""A broker in a directory of its own, and the faults that are brought upon it."""
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

from openwire import Connection

BINARY = os.environ.get("BINARY", "target/release/postrider")
SMALL_SEGMENTS = "[journal]\nsegment_bytes = 1048576\nhot_bytes = 2097152\n"
running = []


class Failed(Exception):
    """What was to be shown did not hold."""


def check(condition, text):
    if not condition:
        raise Failed(text)


class Skipped(Exception):
    """It cannot be shown here."""


class Folder:
    """A folder that goes away; with `megabytes` a file system of its own of that size: ext4 in a loop device, or in memory."""

    def __init__(self, megabytes=None, memory=False):
        self.path = tempfile.mkdtemp(prefix="postrider-hostile-", dir=os.environ.get("WORK"))
        self.inner = self.path
        self.mounted = False
        if megabytes:
            self.inner = f"{self.path}/disk"
            os.mkdir(self.inner)
            if memory:
                self.mount("-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs")
            else:
                self.mount("-o", "loop", self.image(megabytes))

    def image(self, megabytes):
        path = f"{self.path}/image"
        with open(path, "wb") as image:
            image.truncate(megabytes << 20)
        subprocess.run(["mkfs.ext4", "-q", "-b", "4096", "-m", "0", path], check=True)
        return path

    def mount(self, *arguments):
        done = subprocess.run(["mount", *arguments, self.inner], capture_output=True, text=True)
        if done.returncode:
            shutil.rmtree(self.path)
            raise Skipped(f"nothing can be mounted here: {done.stderr.strip()}")
        self.mounted = True

    def free(self):
        """Bytes."""
        status = os.statvfs(self.inner)
        return status.f_bavail * status.f_frsize

    def fill(self, leave=0):
        """Another program's file takes the rest of the file system."""
        with open(f"{self.inner}/other", "wb", buffering=0) as other:
            try:
                while self.free() > leave:
                    other.write(b"x" * min(1 << 20, self.free() - leave))
                    os.fsync(other.fileno())
            except OSError:
                pass

    def empty(self):
        os.remove(f"{self.inner}/other")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.mounted:
            subprocess.run(["umount", "-l", self.inner], check=False)
        shutil.rmtree(self.path, ignore_errors=True)


class Broker:
    def __init__(self, folder, settings="", arguments=(), before=(), port=None):
        self.data = f"{folder.inner}/data"
        self.port = port or 20000 + (os.getpid() * 7 + len(running) * 13) % 9000
        self.log = f"{folder.path}/broker.log"
        configuration = f"{folder.path}/broker.toml"
        with open(configuration, "w") as file:
            file.write(settings)
        self.command = [*before, BINARY, "serve", "--config", configuration, "--data-dir", self.data, *arguments]
        self.process = None
        running.append(self)

    def start(self, timeout=120, more=()):
        """Seconds until it serves; None: it ended. `more` arguments are for this start."""
        begin = time.time()
        command = [*self.command, "--listen", f"openwire://127.0.0.1:{self.port}", *more]
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        while time.time() - begin < timeout:
            if self.process.poll() is not None:
                return None
            if " serves " in self.text():
                return time.time() - begin
            time.sleep(0.003)
        raise Failed(f"does not serve within {timeout} s: {self.text()[-400:]}")

    def must_start(self):
        check(self.start() is not None, f"does not start: {self.text()[-600:]}")

    def fill(self, name, count, body, chunk=500):
        """Starts, and takes so many messages for a queue from a connection, which stays open."""
        if self.process is None:
            self.must_start()
        connection = Connection(self.port)
        connection.produce(name)
        connection.fill_queue(name, count, body, chunk=chunk)
        return connection

    def text(self):
        with open(self.log, errors="replace") as log:
            return re.sub(r"\x1b\[[0-9;]*m", "", log.read())

    def complaints(self):
        return [line for line in self.text().split("\n") if "WARN" in line or "ERROR" in line]

    def alive(self):
        return self.process.poll() is None

    def must_live(self):
        check(self.alive(), f"the broker is down, exit {self.process.poll()}: {self.text()[-600:]}")

    def anonymous(self):
        """Bytes."""
        with open(f"/proc/{self.process.pid}/status") as status:
            return next(int(line.split()[1]) << 10 for line in status if line.startswith("RssAnon"))

    def settled_anonymous(self):
        """Bytes, once they do not grow by themselves: segments are made ready for some time after a start."""
        known = -1
        while known != self.anonymous():
            known = self.anonymous()
            time.sleep(1)
        return known

    def thread(self, name):
        """The number of a thread."""
        tasks = f"/proc/{self.process.pid}/task"
        for task in os.listdir(tasks):
            with open(f"{tasks}/{task}/comm") as comm:
                if comm.read().strip() == name:
                    return int(task)
        raise Failed(f"no thread is called {name}")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def counters(self):
        before = self.text().count("counters:")
        Connection(self.port).close()
        time.sleep(0.2)
        os.kill(self.process.pid, signal.SIGUSR1)
        for _ in range(100):
            if self.text().count("counters:") > before:
                break
            time.sleep(0.05)
        line = [line for line in self.text().split("\n") if "counters:" in line][-1]
        return {name: int(value) for name, value in re.findall(r"(\w+)[= ](\d+)", line.split("counters:")[1])}

    def stop(self, timeout=30):
        """An orderly end."""
        if self.alive():
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failed(f"does not end within {timeout} s") from None
        check(code == 0, f"ends with {code}: {self.text()[-400:]}")

    def kill(self):
        if self.alive():
            self.process.kill()
        self.process.wait()

    def segments(self):
        return sorted(name for name in os.listdir(self.data) if name.startswith("segment-"))


class Injected:
    """While this stands, system calls of the broker, or of one of its threads, answer what is injected: strace's words for it."""

    def __init__(self, broker, calls, answer, thread=None):
        whom = ["-p", str(broker.thread(thread))] if thread else ["-f", "-p", str(broker.process.pid)]
        self.tracer = subprocess.Popen(["strace", "-qq", "-o", "/dev/null", *whom, "-e", f"trace={calls}", "-e", f"inject={calls}:{answer}"],
                                       stderr=subprocess.DEVNULL)
        time.sleep(1.5)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.tracer.send_signal(signal.SIGINT)
        self.tracer.wait()
        time.sleep(0.5)


READS = "pread64,preadv,preadv2"


class FailingReads(Injected):
    """While this stands, every read of a file by the broker fails with EIO."""

    def __init__(self, broker):
        super().__init__(broker, READS, "error=EIO")


def flip(path, offset, bit=0):
    """One bit of a file."""
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1 << bit]))


def end_all():
    for broker in running:
        if broker.process is not None:
            broker.kill()
