"""Starting and ending the brokers, each with a data directory of its own."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ACTIVEMQ_HOME = "/usr/share/activemq"
START_SECONDS = 60
STOP_SECONDS = 30


class NotStarted(SystemExit):
    """A broker does not listen."""


class Broker:
    """A running broker; `pid` is the process whose CPU time counts."""

    def __init__(self, name, command, directory, port, environment=None):
        self.name, self.port = name, port
        shutil.rmtree(directory, ignore_errors=True)
        os.makedirs(os.path.join(directory, "tmp"))
        self.log_path = os.path.join(directory, "log")
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                command, cwd=directory, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment
            )
        self.pid = self.process.pid
        self.directory = directory

    def __enter__(self):
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.1)
        self.__exit__()
        with open(self.log_path, errors="replace") as log:
            raise NotStarted(f"{self.name} does not listen on port {self.port}; its log ends:\n{log.read()[-2000:]}")

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def postrider(program, extra, work, prefix=()):
    port, directory = free_port(), os.path.join(work, "postrider")
    listen = f"openwire://127.0.0.1:{port}"
    command = [*prefix, program, "serve", "--data-dir", os.path.join(directory, "data"), "--listen", listen, *extra]
    return Broker("postrider", command, directory, port)


def activemq(work, prefix=()):
    port, directory = free_port(), os.path.join(work, "activemq")
    properties = {
        "activemq.home": ACTIVEMQ_HOME,
        "activemq.base": directory,
        "activemq.data": os.path.join(directory, "data"),
        "activemq.conf": HERE,
        "java.io.tmpdir": os.path.join(directory, "tmp"),
        "compare.port": port,
    }
    command = [*prefix, "java", *debian_options(), *definitions(properties)]
    command += ["-jar", f"{ACTIVEMQ_HOME}/bin/activemq.jar", "start", f"xbean:file:{HERE}/activemq.xml"]
    return Broker("activemq", command, directory, port)


# What `artemis create` writes for the JVM, but for the console, which is not started.
ARTEMIS_OPTIONS = (
    "-XX:AutoBoxCacheMax=20000 -XX:+PrintClassHistogram -XX:+UseG1GC -XX:+UseStringDeduplication -Xms512M -Xmx2G "
    "-Dlog4j2.disableJmx=true --add-opens java.base/jdk.internal.misc=ALL-UNNAMED"
)


def artemis(home, work, prefix=()):
    port, directory = free_port(), os.path.join(work, "artemis")
    properties = {
        "artemis.home": home,
        "artemis.instance": directory,
        "artemis.instance.etc": os.path.join(HERE, "artemis"),
        "data.dir": os.path.join(directory, "data"),
        "java.library.path": f"{home}/bin/lib/linux-{os.uname().machine}",
        "java.io.tmpdir": os.path.join(directory, "tmp"),
        "compare.port": port,
    }
    command = [*prefix, "java", *ARTEMIS_OPTIONS.split(), *definitions(properties)]
    command += ["-classpath", f"{home}/lib/artemis-boot.jar", "org.apache.activemq.artemis.boot.Artemis", "run"]
    return Broker("artemis", command, directory, port)


def definitions(properties):
    return [f"-D{name}={value}" for name, value in properties.items()]


def debian_options():
    """The options with which Debian's package starts the JVM."""
    with open(f"{ACTIVEMQ_HOME}/activemq-options") as options:
        found = re.search(r'^ACTIVEMQ_OPTS="([^"]*)"', options.read(), re.MULTILINE)
    return found.group(1).split()
