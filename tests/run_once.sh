#!/bin/sh
# The built wheel in a folder of its own, by what installs a program for one call. $@: that, up to
# where the wheel's path stands.
set -eu
python3 -m venv /tmp/build
/tmp/build/bin/pip -q wheel --no-deps --wheel-dir /tmp/wheel .
wheel=$(echo /tmp/wheel/*.whl)
mkdir -p /tmp/product/tests
cd /tmp/product
printf '[project]\nname = "product"\nversion = "1"\n' >pyproject.toml
echo 'def test_it(): pass' >tests/test_it.py
"$@" "$wheel" distromatrix --version
"$@" "$wheel" distromatrix init --minimal
"$@" "$wheel" distromatrix plan --json >plan.json
python3 -c 'import json; assert len(json.load(open("plan.json"))["cells"]) == 2'
