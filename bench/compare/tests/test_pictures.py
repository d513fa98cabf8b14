import unittest
from xml.etree import ElementTree

from matrix import pictures
from tests import figures


class Pictures(unittest.TestCase):
    def bars(self, *found, what=pictures.RATES):
        root = ElementTree.fromstring(pictures.draw(figures.kept(*found), what))
        name = "{http://www.w3.org/2000/svg}"
        return [
            float(one.get("width"))
            for one in root.iter(f"{name}rect")
            if one.get("x") == str(pictures.LEFT) and one.get("y") != "38"
        ], root

    def test_more_is_longer_and_decades_are_even(self):
        found = [
            figures.row(step=step, delivered_rate=rate) for step, rate in (("a", 10.0), ("b", 100.0), ("c", 1_000.0))
        ]
        (one, two, three), _ = self.bars(*found)
        self.assertAlmostEqual(two - one, three - two, delta=0.2)
        self.assertGreater(one, 0)

    def test_what_failed_is_said_and_what_was_not_measured_left_out(self):
        _, root = self.bars(figures.row(), figures.failed())
        self.assertIn("failed", "".join(root.itertext()))
        bars, root = self.bars(figures.row(p99_us=None), what=pictures.LATENCY)
        self.assertEqual(bars, [])

    def test_nothing_at_all_is_a_picture(self):
        ElementTree.fromstring(pictures.draw(figures.kept(), pictures.CPU))

    def test_axes_have_few_ticks(self):
        self.assertEqual(pictures.ticks(1.0, 1000.0), [1.0, 10.0, 100.0, 1000.0])
        self.assertLessEqual(len(pictures.ticks(1e-6, 1e14)), 11)
        self.assertEqual(pictures.bounds([3.0, 2_000.0]), (1.0, 10_000.0))
        self.assertEqual(pictures.bounds([1.2, 900.0]), (0.1, 1_000.0), "the shortest bar is seen")
