# The six doors of the workbench and a few more. Every target builds the environment first when the lock has changed.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.PHONY: help nightly test lab report check soak lock clean

VENV := .venv
BIN := $(VENV)/bin
# The lock is for Python 3.11: the first interpreter that really is one (a pyenv shim may exist and not work).
PYTHON ?= $(shell for p in python3.11 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null && echo $$p && break; done)

# uv does not read pip's settings: hand it the folders of wheels that pip knows (a list with commas, not spaces). Asking pip
# takes a second, so it is done where uv is called and nowhere else.
empty :=
space := $(empty) $(empty)
comma := ,
FIND_LINKS = $(or $(PIP_FIND_LINKS),$(if $(PYTHON),$(shell $(PYTHON) -m pip config get global.find-links 2>/dev/null)))
$(VENV)/.ready lock: export UV_FIND_LINKS ?= $(subst $(space),$(comma),$(strip $(FIND_LINKS)))
export UV_COMPILE_BYTECODE := 1
export MLFLOW_DISABLE_TELEMETRY := true
# Nights and tests start hundreds of processes: none of them compiles what another one has compiled.
unexport PYTHONDONTWRITEBYTECODE

help:  ## this text
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

nightly: $(VENV)/.ready  ## set up everything, run tonight's experiments, print where the report is
	@$(BIN)/stability run experiments/nightly.yaml

# A file's tests share servers and data, so a file stays with one worker; the short doctests come last and fill the gaps.
# One worker more than there are cores: many tests wait for servers.
WORKERS := $(shell cores=$$(nproc 2>/dev/null || sysctl -n hw.ncpu); echo $$((cores < 4 ? cores + 1 : 4)))
test: $(VENV)/.ready  ## set up everything, run every test
	@$(BIN)/python -m pytest -q --durations=15 -n $(WORKERS) --dist loadfile --no-loadscope-reorder

lab: $(VENV)/.ready  ## JupyterLab at notebooks/, logging to the same store as the nights
	@$(BIN)/python -m stability.workbench.doors lab

report: $(VENV)/.ready  ## MLflow's list of runs
	@$(BIN)/python -m stability.workbench.doors report

check: $(VENV)/.ready  ## style, formatting, notebooks without outputs, no large files (of what git knows)
	@$(BIN)/pre-commit run --all-files

soak: $(VENV)/.ready  ## the long tests: many random faults, and twenty times the examples of each property
	@$(BIN)/python -m pytest -q -m "soak or hypothesis" --hypothesis-profile=soak

lock: $(VENV)/.ready  ## resolve the dependencies again and write requirements.lock
	@$(BIN)/python -m stability.workbench.doors lock

clean:  ## remove the environment and caches; runs and the store stay
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis
	find stability tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.ready: requirements.lock
	@test -n "$(PYTHON)" || { echo "The lock is for Python 3.11 and none was found on PATH. Install one (Debian: apt install python3.11-venv;" \
		"macOS: brew install python@3.11; anywhere: uv python install 3.11) or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11"; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "$(PYTHON) is not Python 3.11, for which the lock is."; exit 2; }
	@echo "Building $(VENV) from requirements.lock ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep '^uv==' requirements.lock)"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	@mkdir -p $(VENV)/share/jupyter/lab/settings
	@echo '{"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": false}}' \
		> $(VENV)/share/jupyter/lab/settings/overrides.json
	@touch $@
