"""A pytest plugin in one file, for inside a machine: the mark `needs`.

Put into machines by distromatrix, and loaded with `-p distromatrix_needs`. It depends on nothing
but pytest (3.6 or newer, on Python 3.5 or newer). What the machine can give, and where to write
down which tests need more, is in `distromatrix_needs.json` beside it.
"""

import json
import os
import re

import pytest

_FACTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "distromatrix_needs.json")


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

    def write(self, item, needs):
        """A line for the run, whole: workers of pytest-xdist write, too."""
        root = str(getattr(item.config, "rootpath", None) or item.config.rootdir)
        where = os.path.relpath(root, self.product)
        node = item.nodeid if where == "." else where + "/" + item.nodeid
        line = json.dumps({"test": node, "needs": needs}) + "\n"
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


def pytest_configure(config):
    """Register the mark."""
    config.addinivalue_line(
        "markers", "needs(*names): what the test needs that not every machine has"
    )
    config.pluginmanager.register(_Needs(), "distromatrix-needs-here")
