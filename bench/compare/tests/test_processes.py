import sys
import unittest

from matrix.processes import Failed, Program


def program(code, limit=20):
    return Program([sys.executable, "-c", code], limit)


class Programs(unittest.TestCase):
    def test_a_failed_check_is_a_report(self):
        self.assertEqual(program("import sys; print('{\"a\": 1}'); sys.exit(1)").report(), {"a": 1})

    def test_a_failure_has_its_last_words(self):
        with self.assertRaisesRegex(Failed, "^producer 1: gone$"):
            program("import sys; print('x', file=sys.stderr); sys.exit('postrider bench: producer 1: gone')").report()
        with self.assertRaisesRegex(Failed, "no report"):
            program("").report()

    def test_none_outlives_its_limit(self):
        slow = program("import time; time.sleep(60)", limit=0.2)
        with self.assertRaisesRegex(Failed, "not done within 0 s"):
            slow.report()
        self.assertIsNotNone(slow.process.returncode)

    def test_what_is_stopped_can_be_killed(self):
        stopped = program("import time; time.sleep(60)")
        stopped.stop()
        stopped.kill()
        self.assertIsNotNone(stopped.process.returncode)
