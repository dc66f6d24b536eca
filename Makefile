# spondyl. On a fresh machine with Python >= 3.11, pip and make, each target below sets up what it needs.

# Another interpreter: make PYTHON=/path/to/python3.12 demo
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; exit; }; done; echo python3)
TORCH := torch==2.13.0
BIN := .venv/bin
STAMP := .venv/.installed
DEV_STAMP := .venv/.installed-dev
DOCS_STAMP := .venv/.installed-docs

.PHONY: setup demo check test docs bench

# setup: make .venv with spondyl in it and everything that its tests need.
setup: $(DEV_STAMP)

# demo: draw the built-in virtual patient of known angles, image it in every modality, measure it, and write out/demo/report.html.
demo: $(STAMP)
	$(BIN)/spondyl demo -o out/demo

# check: lint, formatting and types, without running anything.
check: $(DEV_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# test: everything that must hold before a change goes in, on the CPU and without a network.
test: check
	$(BIN)/python -m pytest -n 2

# docs: draw the figures, put help texts and benchmark tables into the pages, and build the site into site/.
docs: $(DOCS_STAMP)
	for figure in coordinates patients sensors bent_cts; do $(BIN)/python docs/figures/$$figure.py || exit 1; done
	$(BIN)/python docs/splice_help.py
	$(BIN)/python docs/splice_benchmark.py
	$(BIN)/python docs/splice_validation.py
	$(BIN)/zensical build --clean

# bench: measure the projector, the virtual patient and the reader's training on this machine and write their tables into the docs.
bench: $(DEV_STAMP)
	$(BIN)/python benchmarks/bench_project.py
	$(BIN)/python benchmarks/bench_patient.py
	$(BIN)/python benchmarks/bench_train.py
	$(BIN)/python docs/splice_benchmark.py

# torch comes first and then stays as it is, so that no later package can swap the build that pip's settings chose.
# A Python without ensurepip (Debian's, without python3-venv) gets pip into the environment from outside.
$(STAMP): pyproject.toml $(wildcard hatch_build.py src/spondyl/xray/*.c)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "spondyl needs Python 3.11 or newer, '$(PYTHON)' is $$($(PYTHON) --version 2>&1); install one or run: make PYTHON=/path/to/python3.11" >&2; \
		exit 1; }
	@echo "Setting up .venv with $$($(PYTHON) --version); torch alone is about 200 MB, so the first time takes minutes."
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv .venv >/dev/null 2>&1 || { \
		$(PYTHON) -m venv --clear --without-pip .venv && $(PYTHON) -m pip --python $(BIN)/python install --quiet pip; }
	@$(BIN)/python -m pip install --quiet "$(TORCH)"
	@$(BIN)/python -c "from importlib.metadata import version as v; print('torch==' + v('torch'))" > .venv/constraints.txt
	@$(BIN)/python -m pip install --quiet --constraint .venv/constraints.txt --editable '.[dicom]'
	@touch $@

$(DEV_STAMP): $(STAMP)
	@$(BIN)/python -m pip install --quiet --constraint .venv/constraints.txt --editable '.[dev]'
	@touch $@

$(DOCS_STAMP): $(DEV_STAMP)
	@$(BIN)/python -m pip install --quiet --constraint .venv/constraints.txt --editable '.[docs]'
	@touch $@
