"""A pytest plugin in one file, for inside a machine: the mark `needs`, and skips whose message
begins with `needs:`, of a case or of a whole module. Of cases that ran elsewhere before it can
run some alone. And tests that open machines themselves are skipped: they are of no cell.

Put into machines by distromatrix, and loaded with `-p distromatrix_needs`. It depends on nothing
but pytest (3.6 or newer, on Python 3.5 or newer). What the machine can give, and where to write
down which tests need more, is in `distromatrix_needs.json` beside it.
"""

import json
import os
import re
import types
import unittest

import pytest

_FACTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "distromatrix_needs.json")


_SKIPS = (pytest.skip.Exception, unittest.SkipTest)
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


_SCHEME = "distromatrix://"
_OURS = (__name__, "distromatrix.testing.machines.fixtures")  # where its fixtures come from
_ELSEWHERE = "uses %s of distromatrix, which opens machines from outside: not inside a cell"


def _stand_in(name):
    """A fixture in the place of one of distromatrix's. One that the product has goes before."""

    @pytest.fixture(scope="function" if name.startswith("fresh") else "module", name=name)
    def stand_in():
        pytest.skip(_ELSEWHERE % ("the fixture `%s`" % name))

    return stand_in


def _our_hosts(module):
    """Whether a module's tests are for hosts of testinfra that are distromatrix's."""
    hosts = getattr(module, "_distromatrix_hosts", None) or getattr(module, "testinfra_hosts", None)
    return isinstance(hosts, (list, tuple)) and any(str(h).startswith(_SCHEME) for h in hosts)


class _Needs:
    def __init__(self):
        with open(_FACTS) as file:
            facts = json.load(file)
        self.known = facts["known"]  # name -> whether it takes a version
        self.refused = facts["refused"]  # name -> why this machine cannot give it
        self.record = facts["record"]
        self.product = facts["product"]
        self.only = facts["only"] and frozenset(facts["only"])  # node ids; None: all
        self.fixtures = facts["fixtures"]  # of distromatrix's, that tests of the product ask for
        self.written = set()
        self.modules = set()  # ids of modules that were skipped for what they need

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
                pytest.fail("needs: '%s' is not a version such as '>=6.1'" % version, pytrace=False)
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
        return self.path(item.config) + item.nodeid

    def path(self, config):
        """The way from the product's root to pytest's own, as ids have it."""
        root = str(getattr(config, "rootpath", None) or config.rootdir)
        where = os.path.relpath(root, self.product)
        return "" if where == "." else where + "/"

    def asked(self, node):
        """As what a test is to run here: by its own id, or a module's that it is in; or ''."""
        parts = node.split("::")
        ids = ("::".join(parts[:count]) for count in range(len(parts), 0, -1))
        return next((one for one in ids if one in self.only), "")

    def skip_elsewhere(self, item):
        """Skip a test that opens machines itself; which it needs is no need of this one."""
        known = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
        for name in self.fixtures:
            if name in known and getattr(known[name][-1].func, "__module__", "") in _OURS:
                pytest.skip(_ELSEWHERE % ("the fixture `%s`" % name))
        module = getattr(item, "module", None)
        if "host" in getattr(item, "fixturenames", ()) and _our_hosts(module):
            pytest.skip(_ELSEWHERE % "hosts")

    @pytest.hookimpl(tryfirst=True)
    def pytest_generate_tests(self, metafunc):
        """testinfra does not know distromatrix's hosts here, and would end the collection."""
        module = metafunc.module
        known = metafunc.config.pluginmanager.hasplugin("distromatrix-fixtures")
        if not known and not hasattr(module, "_distromatrix_hosts") and _our_hosts(module):
            module._distromatrix_hosts = module.testinfra_hosts
            module.testinfra_hosts = ["local://"]

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
        """What a test needs that was skipped for it; without needs it says that it ran."""
        self.written.add(item.nodeid)
        self.line(self.node(item), needs)

    def line(self, test, needs):
        """A line for the run, whole: workers of pytest-xdist write, too."""
        line = json.dumps({"test": test, "needs": needs}) + "\n"
        number = os.open(self.record, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(number, line.encode("ascii"))
        finally:
            os.close(number)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item):
        """Before any fixture: skip what is of no cell, or needs more than this machine has."""
        self.skip_elsewhere(item)
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
            module = self.asked(self.node(item))
            if module != self.node(item) and module not in self.modules:
                self.modules.add(module)
                self.line(module, [])

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item, call):
        """Write down what a test itself skips for its needs, when all others have had their say:
        only then is it known of a unittest's case that it skipped itself."""
        yield
        if call.excinfo is None or not call.excinfo.errisinstance(_SKIPS):
            return
        message = str(call.excinfo.value)
        needs = self.said(message) if message.startswith("needs:") else []
        if needs and (self.only is not None or item.nodeid not in self.written):
            self.write(item, needs)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config, items):
        """Leave out all but those that are to run here."""
        if self.only is not None:
            others = [item for item in items if not self.asked(self.node(item))]
            items[:] = [item for item in items if self.asked(self.node(item))]
            config.hook.pytest_deselected(items=others)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_make_collect_report(self, collector):
        """Write down a module that skips itself for its needs. Where only some cases are to run,
        one that skips itself and has none of them is not told of again."""
        outcome = yield
        report = outcome.get_result()
        if report.outcome != "skipped":
            return
        node = self.path(collector.config) + report.nodeid
        if self.only is not None and node not in self.only:
            report.outcome, report.longrepr, report.result = "passed", None, []
            return
        said = report.longrepr
        message = str(said[2] if isinstance(said, tuple) else said)
        # Python's own SkipTest is told by its traceback.
        message = "needs:" + message.partition("needs:")[2].partition("\n")[0]
        if needs := self.said(message):
            self.modules.add(node)
            self.line(node, needs)

    def pytest_collectreport(self, report):
        """Under pytest-xdist its workers collect, and the controller has to know."""
        if report.outcome == "skipped" and "needs:" in str(report.longrepr):
            self.modules.add(report.nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session):
        """Of several sessions of a suite only one may have them: the others are no failure. Nor
        is one all of whose modules need more."""
        if session.exitstatus == _NO_TESTS and (self.only is not None or self.modules):
            session.exitstatus = 0


def pytest_configure(config):
    """Register the mark."""
    config.addinivalue_line(
        "markers", "needs(*names): what the test needs that not every machine has"
    )
    config.addinivalue_line("markers", "distros(*globs, **criteria): for tests that open machines")
    needs = _Needs()
    config.pluginmanager.register(needs, "distromatrix-needs-here")
    stand_ins = types.ModuleType("distromatrix_stand_ins")
    for name in needs.fixtures:
        setattr(stand_ins, name, _stand_in(name))
    config.pluginmanager.register(stand_ins, "distromatrix-stand-ins")
