PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.stamp
DEMO := build/demo-bundle
SOURCES := $(shell find tandem_export -type f -not -path '*/__pycache__/*')

.PHONY: demo test lint bench train-demo

# Builds the demo bundle from the embedded checkpoint, once per change of the sources, and shows it:
# code that the model writes, the speed ratio, acceptance by position, parity.
demo: $(DEMO)/manifest.json
	$(BIN)/python examples/demo.py $(DEMO)

test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

bench: $(DEMO)/manifest.json
	$(BIN)/python benchmarks/run.py --folder $(dir $(DEMO))

# Hours on two cores; an interrupted run goes on where it stopped. Then the model card, and all of it
# into the package.
train-demo: $(STAMP)
	$(BIN)/python -m recipes.stdlib_mini.train --out build/train
	$(BIN)/python -m recipes.stdlib_mini.pilot --out build/train
	$(BIN)/python -m recipes.stdlib_mini.card --out build/train --install

$(DEMO)/manifest.json: $(STAMP) $(SOURCES)
	rm -rf $(DEMO)
	$(BIN)/tandem-export build demo:stdlib-mini --out $(DEMO)

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[dev,train]'
	touch $@
