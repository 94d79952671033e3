"""A pytest plugin in one file, for inside a machine: the mark `needs`, and skips whose message
begins with `needs:`. Of cases that ran elsewhere before it can run some alone.

Put into machines by distromatrix, and loaded with `-p distromatrix_needs`. It depends on nothing
but pytest (3.6 or newer, on Python 3.5 or newer). What the machine can give, and where to write
down which tests need more, is in `distromatrix_needs.json` beside it.
"""

import json
import os
import re

import pytest

_FACTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "distromatrix_needs.json")


_NO_TESTS = 5  # pytest's exit status
_PART = re.compile(r"(>=|<=|==|>|<)?(\d+(\.\d+)*)$")


def _meets(constraint, version):
    """Whether the kernel's version, such as `6.1.0-18-amd64`, meets a constraint. Only as many
    numbers count as the constraint has."""
    found = re.match(r"\d+(\.\d+)*", version)
    has = [int(number) for number in found.group().split(".")] if found else [0]
    for part in constraint.split(","):
        operator, wanted = _PART.match(part).group(1, 2)
        wanted = [int(number) for number in wanted.split(".")]
        cut = (has + [0] * len(wanted))[: len(wanted)]
        holds = {
            ">=": cut >= wanted,
            "<=": cut <= wanted,
            ">": cut > wanted,
            "<": cut < wanted,
        }
        if not holds.get(operator, cut == wanted):
            return False
    return True


class _Needs:
    def __init__(self):
        with open(_FACTS) as file:
            facts = json.load(file)
        self.known = facts["known"]  # name -> whether it takes a version
        self.refused = facts["refused"]  # name -> why this machine cannot give it
        self.record = facts["record"]
        self.product = facts["product"]
        self.only = facts["only"] and frozenset(facts["only"])  # node ids; None: all
        self.written = set()

    def of(self, item):
        """What a test says that it needs, in order, each once."""
        said = []
        for mark in item.iter_markers(name="needs"):
            if mark.kwargs or not mark.args:
                pytest.fail('needs: write @pytest.mark.needs("NAME", ...)', pytrace=False)
            said += [" ".join(str(need).split()) for need in mark.args]
        for need in said:
            name, _, version = need.partition(" ")
            if name not in self.known:
                known = ", ".join(sorted(self.known))
                pytest.fail("needs: there is no '%s'; known: %s" % (name, known), pytrace=False)
            if version and not self.known[name]:
                pytest.fail("needs: '%s' takes no version" % name, pytrace=False)
            if version and not all(map(_PART.match, version.split(","))):
                pytest.fail("needs: '%s' is no version such as '>=6.1'" % version, pytrace=False)
        return sorted(set(said), key=said.index)

    def refusal(self, need):
        """Why this machine does not meet a need, '' where it does."""
        name, _, version = need.partition(" ")
        release = os.uname()[2]
        if name not in self.refused and version and not _meets(version, release):
            return "needs %s, and the kernel here is %s" % (need, release)
        return self.refused.get(name, "")

    def node(self, item):
        """A test's id, from the product's root."""
        root = str(getattr(item.config, "rootpath", None) or item.config.rootdir)
        where = os.path.relpath(root, self.product)
        return item.nodeid if where == "." else where + "/" + item.nodeid

    def said(self, message):
        """The needs that a skip's message names: `needs: kernel-modules, own-kernel >=6.1`."""
        found = []
        for part in message.partition("needs:")[2].split(","):
            match = re.match(r"\s*([a-z][a-z-]*)\s*((>=|<=|==|>|<)?\d[\d.]*)?", part)
            if match is None or match.group(1) not in self.known:
                break
            found.append(" ".join(filter(None, match.group(1, 2))))
        return found

    def write(self, item, needs):
        """A line for the run, whole: workers of pytest-xdist write, too. Without needs it says
        that the test ran."""
        self.written.add(item.nodeid)
        line = json.dumps({"test": self.node(item), "needs": needs}) + "\n"
        number = os.open(self.record, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(number, line.encode("ascii"))
        finally:
            os.close(number)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item):
        """Before any fixture: skip what needs more than this machine has."""
        needs = self.of(item)
        unmet = [why for why in map(self.refusal, needs) if why]
        if unmet:
            try:
                self.write(item, needs)
            except OSError as error:
                pytest.fail("needs: cannot be written down: %s" % error, pytrace=False)
            pytest.skip("needs: %s" % "; ".join(unmet).replace("needs ", "", 1))
        if self.only is not None:
            self.write(item, [])

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item, call):
        """Write down what a test itself skips for its needs, and leave the report to others."""
        if call.excinfo is None or not call.excinfo.errisinstance(pytest.skip.Exception):
            return
        message = str(call.excinfo.value)
        needs = self.said(message) if message.startswith("needs:") else []
        if needs and (self.only is not None or item.nodeid not in self.written):
            self.write(item, needs)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config, items):
        """Leave out all but those that are to run here."""
        if self.only is not None:
            others = [item for item in items if self.node(item) not in self.only]
            items[:] = [item for item in items if self.node(item) in self.only]
            config.hook.pytest_deselected(items=others)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session):
        """Of several sessions of a suite only one may have them: the others are no failure."""
        if self.only is not None and session.exitstatus == _NO_TESTS:
            session.exitstatus = 0


def pytest_configure(config):
    """Register the mark."""
    config.addinivalue_line(
        "markers", "needs(*names): what the test needs that not every machine has"
    )
    config.pluginmanager.register(_Needs(), "distromatrix-needs-here")
