import unittest

from matrix import rows, scenarios, tables, words
from tests import figures


class Words(unittest.TestCase):
    def test_figures_have_the_digits_that_count(self):
        found = [words.number(value) for value in (None, 0.0, 7, 0.031, 4.567, 45.67, 456.7, 1234567.0)]
        self.assertEqual(found, ["-", "0", "7", "0.03", "4.57", "45.7", "457", "1,234,567"])
        self.assertEqual([words.time(value) for value in (12.3, 1_234, 12_345_678)], ["12.3 us", "1.23 ms", "12.3 s"])
        self.assertEqual([words.times(value) for value in (12.34, 0.75, 0.05)], ["12.3 x", "0.75 x", "1/20.0"])
        self.assertEqual([words.short(value) for value in (0.1, 10, 1e3, 1e7)], ["0.1", "10", "1k", "10M"])

    def test_a_check_names_what_went_wrong(self):
        self.assertEqual(words.check(rows.median([figures.row()])), "clean")
        bad = rows.median([figures.row(lost=2, left=3)])
        self.assertEqual(words.check(bad), "2 lost, 3 not there when the wait was over")


class Tables(unittest.TestCase):
    def beside(self, *found):
        return list(tables.beside(rows.medians(found), [scenarios.BY_NAME["queue-1"]]))

    def test_brokers_stand_side_by_side_in_one_order(self):
        header, line = self.beside(
            figures.row(broker="activemq", delivered_rate=100.0, cpu_per_million=20.0),
            figures.row(delivered_rate=1_000.0),
        )
        self.assertIn("postrider / ActiveMQ", header[2])
        self.assertEqual(line[1:3], ["closed", "1,000 / 100"])
        self.assertEqual(line[-1], "10.0 x, CPU 1/10.0")

    def test_a_broker_that_failed_is_no_gap(self):
        _, line = self.beside(figures.row(), figures.failed())
        self.assertEqual(line[2], "1,000 / failed")
        self.assertEqual(line[-1], "-")

    def test_each_broker_has_its_own_offer(self):
        rates = [figures.row(offered_rate=2_000.4), figures.row(broker="activemq", offered_rate=30.0)]
        self.assertEqual(self.beside(*rates)[1][1], "2,000 / 30.0")

    def test_an_overload_is_measured_by_the_closed_rate(self):
        found = [
            figures.row(delivered_rate=1_000.0),
            figures.row(step="open", offered_rate=2_000.0, delivered_rate=50.0, drain_rate=900.0),
        ]
        line = list(tables.overload(rows.medians(found), [scenarios.BY_NAME["queue-1"]]))[1]
        self.assertEqual(line[2:9], ["1,000", "2,000", "1,000", "50.0 (5 %)", "10", "900 (90 %)", "-"])

    def test_the_page_tells_of_failures_and_of_all_figures(self):
        page = tables.page(figures.kept(figures.row(), figures.failed("no | answer")))
        self.assertIn("- non-persistent 1:1: closed, Artemis: no | answer", page)
        self.assertIn(
            "2026-01-02; `--size small`, 1 run of each broker in turns. Broker and load share all cores.", page
        )
        self.assertIn("postrider: as it comes.", page)
        again = tables.described(figures.kept(figures.row(), figures.row(), figures.row("burst")))
        self.assertIn("1 to 2 runs of each broker", again)
        widths = {line.count("|") for line in page.splitlines() if line.startswith("| non-persistent 1:1: closed | ")}
        self.assertEqual(len(widths), 2, "all lines of a table have its columns")
        self.assertNotIn("Sizes, closed", page)
