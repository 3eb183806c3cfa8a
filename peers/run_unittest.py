# SPDX-License-Identifier: GPL-2.0-only
"""run_unittest.py MODULE...: runs unittest modules, and says of each test what came
of it: "@test ID passed|failed|skipped"."""

import sys
import unittest


class Result(unittest.TextTestResult):
    """Says it by line, as soon as it is known."""

    def say(self, test, outcome):
        """Starts on a line of its own, whatever a test has printed."""
        print(f"\n@test {test.id().replace(' ', '_')} {outcome}", flush=True)

    def addSuccess(self, test):
        super().addSuccess(test)
        self.say(test, "passed")

    def addError(self, test, err):
        super().addError(test, err)
        self.say(test, "failed")

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.say(test, "failed")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.say(test, "skipped")

    def addExpectedFailure(self, test, err):
        super().addExpectedFailure(test, err)
        self.say(test, "passed")

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.say(test, "failed")

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err:
            self.say(test, "failed")


def main():
    """All of it."""
    tests = unittest.defaultTestLoader.loadTestsFromNames(sys.argv[1:])
    print(f"@planned {tests.countTestCases()}")
    outcome = unittest.TextTestRunner(resultclass=Result, verbosity=0).run(tests)
    sys.exit(not outcome.wasSuccessful())


if __name__ == "__main__":
    main()
