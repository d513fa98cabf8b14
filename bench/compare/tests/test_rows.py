import unittest

from matrix import rows
from tests import figures


class Rows(unittest.TestCase):
    def test_what_is_missing_when_the_wait_is_over_is_not_lost(self):
        report = figures.report(drain={"left": 30}, verification={"lost": 31})
        row = rows.row(report, 1_000.0, False)
        self.assertEqual((row["left"], row["lost"], row["backlog"]), (30, 1, 300))

    def test_short_drains_have_no_rate(self):
        self.assertEqual(rows.row(figures.report(), None, True)["drain_rate"], 150.0)
        self.assertIsNone(rows.row(figures.report(drain={"seconds": 0.01}), None, True)["drain_rate"])

    def test_who_only_sends_has_no_deliveries(self):
        report = figures.report(cpu={"per": "sends"}, messages={"delivery_rate": 0.0})
        row = rows.row(report, None, False)
        self.assertEqual((row["sent_rate"], row["delivered_rate"], row["backlog"]), (900.0, None, None))

    def test_nothing_done_has_no_cost(self):
        self.assertEqual(rows.row(figures.report(), None, True)["cpu_per_million"], 4.0)
        self.assertIsNone(rows.row(figures.report(messages={"delivery_rate": 0.0}), None, True)["cpu_per_million"])


class Merged(unittest.TestCase):
    def test_what_is_measured_again_takes_the_place_of_what_was(self):
        old = figures.kept(figures.row(), figures.row(step="open"), figures.row(broker="artemis"), figures.row("burst"))
        old["brokers"] = {"artemis": "Artemis."}
        merged = rows.merged(old, figures.kept(figures.row(delivered_rate=5.0)))
        found = [(row["scenario"], row["broker"], row["delivered_rate"]) for row in merged["rows"]]
        kept = [("queue-1", "artemis", 1000.0), ("burst", "postrider", 1000.0)]
        self.assertEqual(found, [*kept, ("queue-1", "postrider", 5.0)])
        self.assertEqual(sorted(merged["brokers"]), ["artemis", "postrider"])
        self.assertEqual(rows.merged(None, old), old)


class Medians(unittest.TestCase):
    def test_runs_are_put_together_and_faults_added(self):
        own = [figures.row(delivered_rate=rate, lost=1) for rate in (30.0, 10.0, 20.0)]
        median = rows.medians([*own, figures.row(broker="activemq")])[("queue-1", "closed", "postrider")]
        self.assertEqual((median["delivered_rate"], median["lost"], median["runs"]), (20.0, 3, 3))

    def test_a_failed_run_takes_no_part(self):
        own = [figures.row(broker="artemis"), figures.failed(), figures.failed()]
        median = rows.medians(own)[("queue-1", "closed", "artemis")]
        self.assertEqual((median["delivered_rate"], median["failures"]), (1000.0, ["it broke"]))
        self.assertIsNone(rows.median([figures.failed()])["delivered_rate"])


if __name__ == "__main__":
    unittest.main()
