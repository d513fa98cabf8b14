import json
import os
import sys
import tempfile
import unittest

from matrix import sizes
from matrix.stage import Stage
from tests import figures


class Process:
    code = None

    def poll(self):
        return self.code


class Broker:
    """What a stage needs of a broker."""

    name, port, pid = "artemis", 1, os.getpid()

    def __init__(self, directory):
        self.directory, self.process = directory, Process()
        os.makedirs(os.path.join(directory, "data"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def says(text, code=0):
    """A program that ends with this on its standard output, or with another code than 0 on its standard error."""
    stream = "stderr" if code else "stdout"
    return [sys.executable, "-c", f"import sys; print({text!r}, file=sys.{stream}); sys.exit({code})"]


class Stages(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)

    def stage(self, generator, client=None):
        labels = {"scenario": "queue-1", "broker": "artemis"}
        return Stage(sizes.SMALL, Broker(self.directory.name), generator, client, labels)

    def test_a_run_leaves_a_row_and_no_data(self):
        with self.stage(says(json.dumps(figures.REPORT))) as stage:
            row = stage.load("open", "--backlog 5", rate=7.0)
        self.assertEqual((row["offered_rate"], row["closed"], row["delivered_rate"]), (7.0, True, 800.0))
        self.assertGreater(row["memory_mib"], 0)
        self.assertEqual(stage.rows, [{"scenario": "queue-1", "broker": "artemis", "step": "open", **row}])
        self.assertEqual(os.listdir(self.directory.name), [])

    def test_a_failure_is_a_row_that_says_why(self):
        with self.stage(says("producer 1: gone", 2)) as stage:
            stage.broker.process.code = 137
            self.assertIsNone(stage.load("open", ""))
        self.assertEqual(stage.rows[0]["failed"], "producer 1: gone; the broker has ended with 137")

    def test_the_load_has_the_sockets_of_the_client(self):
        with self.stage(says("")) as stage:
            stage.begin("-p 2")
        arguments = stage.programs[0].process.args
        self.assertEqual(arguments[arguments.index("--socket-buffer") + 1], "65536")

    def test_a_client_is_asked_for_what_its_broker_needs(self):
        with self.stage(None, says(json.dumps(figures.REPORT))) as stage:
            row = stage.client("", "async", 1)
        self.assertIn("tcp://127.0.0.1:1?jms.watchTopicAdvisories=false", stage.programs[0].process.args)
        self.assertFalse(row["closed"])

    def test_what_still_runs_is_ended_with_the_stage(self):
        with self.stage([sys.executable, "-c", "import time; time.sleep(60)"]) as stage:
            stage.begin("")
        self.assertIsNotNone(stage.programs[0].process.returncode)
