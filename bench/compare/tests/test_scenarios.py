import unittest

from matrix import scenarios, sizes


class Scripted:
    """A stage that only notes what is asked of it, and gives each load the same answer."""

    def __init__(self, answers=()):
        self.size, self.asked, self.answers = sizes.SMALL, [], list(answers)

    def load(self, step, options, **times):
        self.asked.append((step, options, times))
        return self.answers.pop(0) if self.answers else {"sent_rate": 900.0, "left": 0}

    def begin(self, options, **times):
        return options

    def end(self, step, begun):
        self.asked.append((step, begun, {}))

    def client(self, step, mode, clients):
        self.asked.append((step, mode, {}))

    def stopped_subscriber(self):
        self.asked.append(("stopped", "", {}))

    def wait(self, seconds):
        pass


class Scenarios(unittest.TestCase):
    def steps(self, name, *answers):
        stage = Scripted(answers)
        scenarios.BY_NAME[name].perform(stage)
        return stage.asked

    def test_an_overload_is_twice_the_closed_rate_and_then_two_thirds(self):
        closed, opened, after = self.steps("queue-8")
        self.assertIn("--backlog 8000", closed[1])
        self.assertEqual([one[2]["rate"] for one in (opened, after)], [1_800.0, 600.0])

    def test_the_subscriber_stops_between_the_closed_run_and_the_flood(self):
        self.assertEqual([step for step, _, _ in self.steps("topic-4")], ["closed", "stopped", "open", "two thirds"])

    def test_nothing_is_built_on_what_failed_or_did_not_drain(self):
        self.assertEqual(len(self.steps("queue-1", None)), 1)
        self.assertEqual(len(self.steps("queue-1", {"sent_rate": 1.0, "left": 0}, {"left": 5})), 2)
        self.assertEqual(len(self.steps("burst", None)), 1)

    def test_large_messages_have_few_under_way(self):
        backlogs = [self.steps(name)[0][1].split()[-1] for name in ("size-64", "size-256k", "size-4m")]
        self.assertEqual(backlogs, ["1000", "128", "8"])

    def test_a_name_stands_for_itself_or_for_all_that_begin_with_it(self):
        found = [[one.name for one in scenarios.chosen(names)] for names in (["rate-1000"], ["request", "burst"])]
        self.assertEqual(found, [["rate-1000"], ["burst", "request-1", "request-100"]])
        self.assertEqual(scenarios.chosen(None), scenarios.ALL)
        with self.assertRaises(KeyError):
            scenarios.chosen(["rate", "nothing"])

    def test_names_are_their_own_and_groups_are_known(self):
        self.assertEqual(len(scenarios.BY_NAME), len(scenarios.ALL))
        for scenario in scenarios.ALL:
            self.assertIn(scenario.group, scenarios.GROUPS)
            self.assertTrue(self.steps(scenario.name), scenario.name)
