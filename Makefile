# make demo: set up and run the main job (LAB=0: without JupyterLab at the end)
# make test: set up and run every check, and every test that is not marked slow
# make test-all: the slow ones too
PYTHON ?= python3
PY := .venv/bin/python
LABEXTENSION := $(wildcard labextension/*.json labextension/yarn.lock labextension/.yarnrc.yml \
  labextension/src/* labextension/src/*/* labextension/style/* labextension/schema/*)
# Two more than there are cores: many tests wait for a process.
WORKERS = $(shell $(PY) -c 'import os; print(min(os.cpu_count() + 2, 6))')
IN_JUPYTERLAB := .venv/share/jupyter/labextensions/nbmlops

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PIP_ROOT_USER_ACTION := ignore
# Without bytecode, each of the many processes would compile the package again.
unexport PYTHONDONTWRITEBYTECODE
.PHONY: demo test test-all check lock screenshots clean reuse

demo: reuse .venv/core
	@$(PY) -m nbmlops.cli demo $(if $(filter 0,$(LAB)),--no-lab,--before-lab 'make .venv/extension')

test: TIER := -m 'not slow'
test-all: .venv/cluster
test test-all: reuse check
	@command -v chromium chromium-browser google-chrome >/dev/null || \
	  $(PY) -m playwright install chromium
	cd labextension && jlpm test
	$(PY) -m pytest $(TIER) -n $(WORKERS) --dist worksteal

check: .venv/tools .venv/extension
	pre-commit run --all-files

reuse:
	@if [ -e .venv/core ]; then echo "reusing .venv"; else \
	  echo "making .venv: about a minute the first time"; fi

.venv/core: constraints.txt pyproject.toml hatch_build.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	  "nbmlops needs Python 3.11 or newer: make PYTHON=python3.12 demo")'
	@$(PY) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv .venv
	@echo "installing the pinned packages"
	@$(PY) scripts/install.py core
	@SKIP_JUPYTER_BUILDER=1 $(PY) -m pip --disable-pip-version-check install --quiet \
	  --no-deps --no-build-isolation --editable .
	@touch $@

.venv/tools: .venv/core
	@echo "installing the tools"
	@$(PY) scripts/install.py tools
	@touch $@

.venv/cluster: .venv/tools
	@$(PY) scripts/install.py cluster
	@touch $@

.venv/extension: .venv/core $(LABEXTENSION)
	@echo "building the JupyterLab extension"
	@$(PY) scripts/install.py node
	@cd labextension && { jlpm install && jlpm build:prod; } >../.venv/extension.log 2>&1 || \
	  { cat ../.venv/extension.log; exit 1; }
	@rm -rf $(IN_JUPYTERLAB)
	@mkdir -p $(IN_JUPYTERLAB)
	@cp -R nbmlops/labextension/. labextension/install.json $(IN_JUPYTERLAB)
	@touch $@

lock: .venv/core
	$(PY) scripts/lock.py

screenshots: .venv/tools .venv/extension
	$(PY) -m pytest -q tests/ui/test_register_and_deploy.py
	cp test-output/sidebar-light.png docs/sidebar.png

clean:
	rm -rf .venv build dist nbmlops/labextension labextension/lib labextension/node_modules test-output
