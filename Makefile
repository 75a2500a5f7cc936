# make demo    raw video -> audited shards -> a model that learned from them, on made-up video, in about four minutes
# make test    lint, types, architecture, tests
# make test-slow  only the slow tests; make test-all: all of them
# make coverage  the tests of `make test`, and the share of statements they run, for each folder; CI runs it and test-slow
# make setup   .venv from requirements.lock, every wheel checked against its hash (about 6 GB: torch brings CUDA)
# make setup-dev  as setup, with what tests, lint and docs need (requirements-dev.lock); those targets call it
# make lock    both locks anew from pyproject.toml
# make release  sdist and wheel in dist/, reproducible to the byte and checked; VERSION=x.y.z sets the version, the
#              section of the changelog and the tag
# make docs    the documentation, as pages that open from the disk: site/index.html
# make picture docs/audit-page.png anew, from the page of the demo (needs Chromium)
# make bench   the benchmark tables of docs/benchmarks.md
PYTHON ?= python3
DEMO ?= demo-out
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
BIN := .venv/bin
QUIET := $(shell test -t 2 || echo --quiet)
# The tests start hundreds of processes; without bytecode each would compile the project again.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test test-slow test-all coverage lint setup setup-dev lock release docs picture bench clean

demo: setup
	$(BIN)/avf-curate demo --out $(DEMO)
	$(BIN)/avf-train pretrain --recipe demo --shards $(DEMO)/shards --validation $(DEMO)/validation --out $(DEMO)/pretrain
	@echo "Look first at $(DEMO)/report.html in a browser: what was kept and dropped, and why."
	@echo "Then at $(DEMO)/pretrain/reconstructions: speakers that the model has not seen."
	@echo "$(DEMO)/pretrain/curve.png shows how it learned."

test: lint
	$(BIN)/python -m pytest -m "not slow"

test-all: lint
	$(BIN)/python -m pytest

test-slow: setup-dev
	$(BIN)/python -m pytest -m slow

coverage: lint
	$(BIN)/python -m pytest -m "not slow" --cov --cov-report=json:coverage.json
	$(BIN)/python .ci/coverage_table.py coverage.json

lint: setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell shards curation training tests benchmarks reference notebooks docs docker .ci *.md CITATION.cff NOTICE

setup: .venv/.locked

setup-dev: .venv/.locked-dev

# In a terminal uv shows its own progress; elsewhere each step says what it does.
define INSTALL
	@echo "setup 1/3: a virtual environment in .venv"
	@$(UV) venv --quiet --allow-existing --python $(PYTHON) .venv
	@echo "setup 2/3: the packages of $(1), about 6 GB where none is cached: a minute to ten"
	@VIRTUAL_ENV=.venv $(UV) pip sync $(QUIET) --compile-bytecode --require-hashes $(1)
	@echo "setup 3/3: avf-curate, avf-shards and avf-train themselves, from this folder"
	@VIRTUAL_ENV=.venv $(UV) pip install --quiet --no-deps --no-build-isolation -e .
endef

# `pip sync` removes what a lock does not have: where tests were installed once, they stay.
LOCK = $(if $(wildcard .venv/.locked-dev),requirements-dev.lock,requirements.lock)

.venv/.locked: requirements.lock pyproject.toml | $(UV)
	$(call INSTALL,$(LOCK))
	@touch $@

# It holds all of requirements.lock, in the same versions.
.venv/.locked-dev: requirements-dev.lock pyproject.toml | $(UV)
	$(call INSTALL,requirements-dev.lock)
	@touch .venv/.locked $@

.uv/bin/uv:
	@echo "setup: uv, which installs the packages, in .uv"
	@$(PYTHON) -m venv .uv
	@.uv/bin/pip install --quiet --require-hashes -r requirements-uv.lock

lock: | $(UV)
	$(UV) pip compile pyproject.toml --extra all --group networks --group build --universal --generate-hashes \
		--no-emit-index-url --quiet -o requirements.lock
	$(UV) pip compile pyproject.toml --extra all --group networks --group build --group dev -c requirements.lock --universal \
		--generate-hashes --no-emit-index-url --quiet -o requirements-dev.lock
	printf 'uv==0.13.8\n' | $(UV) pip compile - --universal --generate-hashes --no-emit-index-url --quiet -o requirements-uv.lock

release: setup-dev
	@$(BIN)/python .ci/release.py $(VERSION) --uv $(UV)

docs: setup-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "open site/index.html"

picture:
	chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=980,1180 --screenshot=docs/audit-page.png $(DEMO)/report.html

bench: setup-dev
	$(BIN)/python -m benchmarks

clean:
	rm -rf .venv .uv site $(DEMO) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .coverage* coverage.json
