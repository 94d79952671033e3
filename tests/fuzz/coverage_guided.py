"""Runs one target by atheris (libFuzzer): `python coverage_guided.py TARGET FOLDER [OPTION…]`.

FOLDER gets the inputs that reach something new, and an input that finds a fault; options are
libFuzzer's own. This project's code is instrumented while it is imported, so in a process of its
own.
"""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["distromatrix"]):
    from targets import TARGETS

from fuzzing import CORPUS, words


def main() -> None:
    name, folder, *options = sys.argv[1:]
    with Path(f"{folder}.words").open("w") as dictionary:
        for word in words(name):
            dictionary.write('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n')
    atheris.Setup(
        [sys.argv[0], *options, f"-dict={folder}.words", folder, str(CORPUS / name)],
        TARGETS[name],
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
