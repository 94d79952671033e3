"""How the output of dnf, zypper, pacman and xbps is read. What is quoted here is what the tools
printed (dnf 4.14, dnf5 5.4, zypper 1.14.42 and .101, pacman 6.0 and 7.1, run against local
repositories); microdnf's, yum's and xbps's lines are those of their sources."""

from __future__ import annotations

import pytest

from distromatrix.images.packages import MANAGERS, PackageFailure

DNF, ZYPPER, PACMAN, XBPS = (MANAGERS[name] for name in ("dnf", "zypper", "pacman", "xbps"))

DNF4_MISSING = """\
t                                               355 kB/s | 3.5 kB     00:00
No match for argument: nosuch
No match for argument: nosuch2
Error: Unable to find a match: nosuch nosuch2
"""
DNF5_MISSING = """\
Repositories loaded.
Failed to resolve the transaction:
No match for argument: nosuch
No match for argument: nosuch2
You can try to add to command line:
  --skip-unavailable to skip unavailable packages
"""
ZYPPER_MISSING = """\
'nosuch' not found in package names. Trying capabilities.
No provider of 'nosuch' found.
'nosuch2' not found in package names. Trying capabilities.
No provider of 'nosuch2' found.
"""
PACMAN_MISSING = """\
error: target not found: nosuch
error: target not found: nosuch2
"""


@pytest.mark.parametrize(
    ("manager", "output", "names"),
    [
        (DNF, DNF4_MISSING, ("nosuch", "nosuch2")),
        (DNF, DNF5_MISSING, ("nosuch", "nosuch2")),
        (DNF, "Downloading metadata...\nerror: No package matches 'nosuch'\n", ("nosuch",)),
        (DNF, "No package nosuch available.\nError: Nothing to do\n", ("nosuch",)),
        (ZYPPER, ZYPPER_MISSING, ("nosuch", "nosuch2")),
        (PACMAN, PACMAN_MISSING, ("nosuch", "nosuch2")),
        (XBPS, "ERROR: Package 'nosuch' not found in repository pool.\n", ("nosuch",)),
        (XBPS, "Unable to locate 'nosuch' in repository pool.\n", ("nosuch",)),
    ],
)
def test_every_package_that_is_not_there_is_named(manager, output: str, names) -> None:
    failure = manager.failure(output)
    assert failure.not_found == names
    assert (failure.unreachable, failure.gone, failure.untrusted) == ("", "", "")


DNF4_DOWN = """\
Errors during downloading metadata for repository 't':
  - Curl error (7): Couldn't connect to server for http://m/repodata/repomd.xml [Failed]
Error: Failed to download metadata for repo 't': Cannot download repomd.xml: \
Cannot download repodata/repomd.xml: All mirrors were tried
"""
DNF5_DOWN = """\
 t                                      ???% |   0.0   B/s |  -1.0   B |  ?
>>> Curl error (6): Could not resolve hostname for http://m/rpm/repodata/repomd.xml [Could]
>>> Usable URL not found
Failed to download metadata (baseurl: "http://m/rpm") for repository "t": Usable URL not found
"""
MICRODNF_DOWN = """\
error: cannot update repo 't': Cannot download repomd.xml: Cannot download repodata/repomd.xml: \
All mirrors were tried; Last error: Curl error (7): Couldn't connect to server for http://m/
"""
ZYPPER_DOWN = """\
[t|http://127.0.0.1:9/rpm] Valid metadata not found at specified URL
History:
 - [|] Error trying to read from 'http://127.0.0.1:9/rpm'
 - Download (curl) error for 'http://127.0.0.1:9/rpm/content':
Error code: Connection failed
Error message: Failed to connect to 127.0.0.1 port 9 after 0 ms: Couldn't connect to server
"""
PACMAN_DOWN = """\
error: failed retrieving file 'core.db' from m : Could not resolve host: m
error: failed to synchronize all databases (invalid url for server)
"""
XBPS_DOWN = (
    "ERROR: [reposync] failed to fetch file `https://m/x86_64-repodata': Operation timed out\n"
)


@pytest.mark.parametrize(
    ("manager", "output", "says"),
    [
        (DNF, DNF4_DOWN, "Curl error (7): Couldn't connect to server for http://m/"),
        (DNF, DNF5_DOWN, "Curl error (6): Could not resolve hostname for http://m/"),
        (DNF, MICRODNF_DOWN, "Cannot download repomd.xml: Cannot download repodata/"),
        (DNF, "(1/2): a.rpm\nStatus code: 503 for http://m/a.rpm\n", "Status code: 503"),
        (ZYPPER, ZYPPER_DOWN, "Failed to connect to 127.0.0.1 port 9"),
        (PACMAN, PACMAN_DOWN, "failed retrieving file 'core.db' from m : Could not"),
        (XBPS, XBPS_DOWN, "[reposync] failed to fetch file `https://m/x86_64-repodata': Op"),
    ],
)
def test_a_mirror_that_does_not_answer_is_told(manager, output: str, says: str) -> None:
    failure = manager.failure(output)
    assert failure.unreachable.startswith(says)
    assert (failure.gone, failure.untrusted) == ("", "")


@pytest.mark.parametrize(
    ("manager", "output", "says"),
    [
        (DNF, "  - Status code: 404 for http://m/repodata/repomd.xml (IP: 1)", "Status code: 404"),
        (
            ZYPPER,
            " - File '/repodata/repomd.xml' not found on medium 'http://m/'\n",
            "File '/repodata/repomd.xml' not found on medium",
        ),
        (ZYPPER, " - [t|http://m/] Repository type can't be determined.\n", "[t|http://m/] Repo"),
        (
            PACMAN,
            "error: failed retrieving file 'core.db' from m : The requested URL returned error: "
            "404\nerror: failed to synchronize all databases (failed to retrieve some files)\n",
            "failed retrieving file 'core.db' from m",
        ),
        (
            XBPS,
            "ERROR: [reposync] failed to fetch file `https://m/x86_64-repodata': Not Found\n",
            "[reposync] failed to fetch file",
        ),
    ],
)
def test_a_mirror_that_lacks_the_repository_is_told(manager, output: str, says: str) -> None:
    failure = manager.failure(output)
    assert failure.gone.startswith(says)
    assert failure.unreachable == ""


@pytest.mark.parametrize(
    ("manager", "output", "says"),
    [
        (DNF, "Public key for a-1.rpm is not installed\nError: GPG check FAILED\n", "Public key"),
        (
            DNF,
            "Transaction failed: Signature verification failed.\n"
            'OpenPGP check for package "a" (/x/a.rpm) from repo "t" has failed: wrong key?\n',
            'OpenPGP check for package "a"',
        ),
        (
            ZYPPER,
            "File 'repomd.xml' from repository 't' is unsigned, continue? [yes/no] (no): no\n",
            "File 'repomd.xml' from repository 't' is unsigned",
        ),
        (
            PACMAN,
            "error: core: missing required signature\n"
            "error: failed retrieving file 'core.db.sig' from m : The requested URL: 404\n",
            "core: missing required signature",
        ),
        (
            PACMAN,
            'error: hello: signature from "X <x@mirror.example>" is unknown trust\n',
            "hello: signature from",
        ),
        (XBPS, "ERROR: a-1.0_1: the RSA signature is not valid!\n", "a-1.0_1: the RSA"),
    ],
)
def test_what_nobody_trusted_has_signed_is_told(manager, output: str, says: str) -> None:
    failure = manager.failure(output)
    assert failure.untrusted.startswith(says)
    assert (failure.unreachable, failure.gone) == ("", "")


@pytest.mark.parametrize(
    ("manager", "output", "says"),
    [
        (DNF, "Error: \n Problem: package a requires b, but none can be installed\n", "Problem: p"),
        (DNF, "Failed to resolve the transaction:\nProblem: conflicting requests\n", "Problem: c"),
        (DNF, "error: Could not depsolve transaction; 1 problem detected\n", "Could not depsolve"),
        (ZYPPER, "Problem: nothing provides 'b' needed by a\n Solution 1:", "nothing provides"),
        (
            ZYPPER,
            "Problem: 1: Detailed information: \n- nothing provides the requested 'b'\n",
            "nothing provides the requested 'b'",
        ),
        (PACMAN, "error: failed to commit transaction (conflicting files)\n", "failed to commit"),
        (XBPS, "Transaction aborted due to unresolved shlibs.\n", "Transaction aborted due to"),
    ],
)
def test_all_else_is_told_in_the_tools_own_words(manager, output: str, says: str) -> None:
    failure = manager.failure(output)
    assert failure == PackageFailure(error=failure.error)
    assert failure.error.startswith(says)


ZYPPER_TABLE = """\

S | Name               | Summary             | Type
--+--------------------+---------------------+--------
i | python3            | a package of a test | package
  | python3-pytest     | a | b               | package
"""


@pytest.mark.parametrize(
    ("manager", "output"),
    [
        (DNF, "python3\n\npython3-pytest\n\n"),  # dnf 4 and 5
        (DNF, "python3-3.12.1-1.fc43.x86_64\npython3-pytest-0:8.3.4-1.noarch\n"),  # microdnf
        (DNF, "python3.x86_64  3.6.8-1.el7  base\npython3-pytest.noarch  3.4.2-1.el7  epel\n"),
        (ZYPPER, ZYPPER_TABLE),
        (PACMAN, "python3\npython3-pytest\n"),
        (XBPS, "[*] python3-3.13.1_1          Python\n[-] python3-pytest-8.3.4_1  Simple\n"),
        (MANAGERS["apt"], "python3\npython3-pytest\n"),
        (MANAGERS["apk"], "python3\npython3-pytest\n"),
    ],
)
def test_the_names_of_what_there_is_are_read(manager, output: str) -> None:
    assert manager.found(output) == ("python3", "python3-pytest")
