"""What comes from Maven Central: Artemis and the Java client, kept outside of the repository."""

import os
import subprocess
import tarfile

from matrix.processes import Failed

HERE = os.path.dirname(os.path.abspath(__file__))
JAVA = os.path.join(os.path.dirname(HERE), "java")
ARTEMIS_VERSION = "2.56.0"
MINUTES = 5


def cache():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    directory = os.path.join(base, "postrider-compare")
    os.makedirs(directory, exist_ok=True)
    return directory


def artemis():
    """The directory of Artemis."""
    directory = cache()
    home = os.path.join(directory, f"apache-artemis-{ARTEMIS_VERSION}")
    if not os.path.exists(os.path.join(home, "lib")):
        artifact = f"org.apache.artemis:apache-artemis:{ARTEMIS_VERSION}:tar.gz:bin"
        maven("dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={directory}")
        archive = os.path.join(directory, f"apache-artemis-{ARTEMIS_VERSION}-bin.tar.gz")
        with tarfile.open(archive) as packed:
            packed.extractall(directory)
        os.remove(archive)
    return home


def client(work):
    """The command that runs the Java client, compiled."""
    target = os.path.join(work, "java")
    os.makedirs(target, exist_ok=True)
    listed = os.path.join(target, "class-path")
    build = ["-f", os.path.join(JAVA, "pom.xml"), "dependency:build-classpath", f"-Dmdep.outputFile={listed}"]
    try:
        # Without the network where all is there.
        maven("-o", *build)
    except Failed:
        maven(*build)
    with open(listed) as file:
        jars = file.read().strip()
    called("javac", "-nowarn", "-proc:none", "-cp", jars, "-d", target, os.path.join(JAVA, "Client.java"))
    return ["java", "-Xms256M", "-Xmx1G", "-cp", f"{target}:{jars}", "Client"]


def maven(*arguments):
    called("mvn", "-q", "-B", *arguments)


def called(*command):
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=60 * MINUTES)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(f"{command[0]}: {error}") from None
    if run.returncode != 0:
        raise Failed(f"{command[0]}: {(run.stdout + run.stderr).strip()[-400:]}")
