# make demo      the example's matrix on six real distributions
# make demo-guests  the same for what needs a kernel of its own: containers and guests
# make test      lint, unit, engine (Docker, Podman, guests) and wheel tests
# make test-all  the slow ones too, and the fuzzers
# make page      the page of a run in a real browser; part of `make test-all`
# make engine    a container engine, installed and started; part of the demo and the tests
# make podman    Podman, in the same way
# make guests    QEMU, Vagrant and libvirtd, installed and started; part of the tests
# make shells    zsh and fish, installed; part of the tests
# make browser   Chromium and npm, installed; part of the tests of the page
# make guest-programs  what guests run of ours, from its C source; needs gcc for both architectures
# make lint      ruff, mypy, codespell, and the workflows' linters only
# make unit      what needs no engine
# make fuzz      thousands of hostile inputs of each kind; some of them are part of `make unit`
# make coverage  the unit and the engine tests, and which branches of runner/ they leave out
# make floors    what needs no engine, with all that it is built on as old as may be
# make dist      the sdist and the wheel, in dist/
# make audit     known advisories on what it is built on; no part of the tests
# make clean     removes what the commands above made in this checkout
#
# Needed: Python 3.11 or newer, git, make. Everything else is fetched or installed.

.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

ifndef PYTHON
PYTHON := $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
endif

# Root filesystems kept beside the checkout serve where no image registry is in reach.
ifndef DISTROMATRIX_ARCHIVES
ifneq ($(wildcard ../shared/images),)
export DISTROMATRIX_ARCHIVES := $(abspath ../shared/images)
endif
endif

# A membership in the group docker counts from the next login on; sg lends it to this one.
WITH_ENGINE = if [ "$$(id -u)" = 0 ] || id -nG | grep -qw docker \
	|| ! getent group docker 2>/dev/null | grep -qw "$$(id -un)"; \
	then sh -c '$(1)'; else sg docker -c '$(1)'; fi

# The line above that says what a target does, first of all that it prints.
SAY = @sed -n 's/^\# \(make $@  *.*\)/\1/p' Makefile

.PHONY: help demo demo-guests test test-all page shells browser lint unit fuzz coverage floors dist audit engine podman guests guest-programs clean

help:
	@sed -n 's/^# \{0,1\}//; 1,/^$$/p' Makefile

demo: engine
	$(SAY)
	@$(call WITH_ENGINE,$(BIN)/distromatrix run -C examples/logtally)

demo-guests: engine guests
	$(SAY)
	@$(call WITH_ENGINE,$(BIN)/distromatrix run -C examples/hostfence)

test: engine podman guests shells
	$(SAY)
	@$(call WITH_ENGINE,DISTROMATRIX_REQUIRE_ENGINE=1 $(BIN)/tox run --current-env -e all)

test-all: engine podman guests shells browser
	$(SAY)
	@$(call WITH_ENGINE,DISTROMATRIX_REQUIRE_ENGINE=1 $(BIN)/tox run -e all$(,)fuzz$(,)slow)

page: browser
	$(SAY)
	@DISTROMATRIX_REQUIRE_ENGINE=1 $(BIN)/tox run -e page

lint: $(STAMP)
	$(SAY)
	@$(BIN)/tox run -e lint

unit: $(STAMP)
	$(SAY)
	@$(BIN)/tox run -e unit

fuzz: $(STAMP)
	$(SAY)
	@$(BIN)/tox run -e fuzz

coverage: engine podman guests shells
	$(SAY)
	@$(call WITH_ENGINE,DISTROMATRIX_REQUIRE_ENGINE=1 $(BIN)/tox run -e coverage)

floors: $(STAMP)
	$(SAY)
	@$(BIN)/tox run -e floors

dist: $(STAMP)
	$(SAY)
	@rm -rf dist && $(BIN)/python -m build --quiet

audit: $(STAMP)
	$(SAY)
	@$(BIN)/tox run -e audit

engine: $(STAMP)
	$(SAY)
	@$(BIN)/distromatrix doctor --fix --yes

podman: $(STAMP)
	$(SAY)
	@$(BIN)/distromatrix doctor --engine podman --fix --yes

guests: $(STAMP)
	$(SAY)
	@$(BIN)/distromatrix doctor --guests --fix --yes

shells: $(STAMP)
	$(SAY)
	@for program in zsh fish; do \
		command -v $$program >/dev/null || $(call INSTALL,$$program) || exit; \
	done

browser: $(STAMP)
	$(SAY)
	@for program in chromium npm; do \
		command -v $$program >/dev/null && continue; \
		[ $$program = npm ] || ! command -v google-chrome >/dev/null || continue; \
		$(call INSTALL,$$program); \
	done

guest-programs: $(STAMP)
	$(SAY)
	@$(BIN)/python tests/guest_programs.py

$(STAMP): pyproject.toml
	@[ -n "$(PYTHON)" ] || { echo "make: no Python 3.11 or newer found; name one: make PYTHON=/path/to/python3" >&2; exit 69; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || $(INSTALL_VENV)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --editable '.[dev]'
	@$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true  # by all processors; pip takes one
	@touch $@

# Debian and Ubuntu ship Python without the part that makes environments.
define INSTALL_VENV
{ \
	package=$$($(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'); \
	command -v apt-get >/dev/null || { echo "make: $(PYTHON) cannot make environments (no ensurepip); install your distribution's venv package" >&2; exit 69; }; \
	echo "installing $$package: $(PYTHON) cannot make environments without it"; \
	$(call INSTALL,$$package); \
}
endef

INSTALL = { sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	$$sudo apt-get update -qq && $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(1) >/dev/null; }

# A comma that may stand inside an argument of $(call).
, := ,

clean:
	$(SAY)
	rm -rf $(VENV) .tox .mypy_cache .ruff_cache .pytest_cache .coverage.d build dist examples/*/.distromatrix .distromatrix
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
