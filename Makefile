# make demo: set up and run the main job (LAB=0: without JupyterLab at the end)
# make test: set up and run every check and test
PYTHON ?= python3
PY := .venv/bin/python
PIP := $(PY) -m pip --disable-pip-version-check install --quiet --no-deps
LABEXTENSION := $(wildcard labextension/*.json labextension/yarn.lock labextension/.yarnrc.yml \
  labextension/src/* labextension/src/*/* labextension/style/* labextension/schema/*)
HAS_NODE = node -e 'const [a, b] = process.versions.node.split(".").map(Number); \
  process.exit(a > 22 || (a === 22 && b >= 12) || (a === 20 && b >= 19) ? 0 : 1)' 2>/dev/null

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PIP_ROOT_USER_ACTION := ignore
.PHONY: demo test check lock screenshots clean reuse

demo: reuse .venv/extension
	@$(PY) -m nbmlops.cli demo $(if $(filter 0,$(LAB)),--no-lab)

test: reuse check
	@command -v chromium chromium-browser google-chrome >/dev/null || \
	  $(PY) -m playwright install chromium
	cd labextension && jlpm test
	$(PY) -m pytest -m 'not slow' -n logical --maxprocesses 4 --dist worksteal

check: .venv/tools .venv/extension
	pre-commit run --all-files

reuse:
	@if [ -e .venv/extension ]; then echo "reusing .venv"; else \
	  echo "making .venv: a few minutes the first time"; fi

.venv/core: constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	  "nbmlops needs Python 3.11 or newer: make PYTHON=python3.12 demo")'
	@$(PYTHON) -m venv .venv
	@echo "installing the pinned packages"
	@sed '/^# ---- node/,$$d' constraints.txt > .venv/core.txt
	@$(PIP) --require-hashes -r .venv/core.txt
	@$(HAS_NODE) || { echo "installing Node from PyPI"; \
	  sed -n '/^# ---- node/,/^# ---- tools/p' constraints.txt > .venv/node.txt; \
	  $(PIP) --require-hashes -r .venv/node.txt; }
	@touch $@

.venv/tools: .venv/core
	@echo "installing the tools"
	@sed -n '/^# ---- tools/,$$p' constraints.txt > .venv/tools.txt
	@$(PIP) --require-hashes -r .venv/tools.txt
	@touch $@

.venv/extension: .venv/core pyproject.toml hatch_build.py $(LABEXTENSION)
	@echo "building the JupyterLab extension"
	@rm -rf nbmlops/labextension
	@$(PIP) --no-build-isolation --editable .
	@touch $@

lock:
	$(PY) scripts/lock.py

screenshots: .venv/tools .venv/extension
	$(PY) -m pytest -q tests/ui/test_register_and_deploy.py
	cp test-output/sidebar-light.png docs/sidebar.png

clean:
	rm -rf .venv build dist nbmlops/labextension labextension/lib labextension/node_modules test-output
