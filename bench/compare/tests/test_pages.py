import unittest

from matrix import pages


class Pages(unittest.TestCase):
    PAGE = "before\n<!-- matrix: begin -->\nold\n<!-- matrix: end -->\nafter\n"

    def test_only_what_stands_between_the_markers_changes(self):
        new = pages.rewritten(self.PAGE, "matrix", "new\n")
        self.assertEqual(new, "before\n<!-- matrix: begin -->\n\nnew\n\n<!-- matrix: end -->\nafter\n")
        self.assertEqual(pages.rewritten(new, "matrix", "new"), new, "the same again changes nothing")

    def test_a_page_without_markers_is_refused(self):
        for page in ("nothing", "<!-- matrix: begin -->", "<!-- matrix: end --><!-- matrix: begin -->"):
            with self.assertRaises(ValueError):
                pages.rewritten(page, "matrix", "new")
