PYTHON ?= python3
# With libtpu installed, jax would look for a TPU first, and complain.
export JAX_PLATFORMS ?= cpu
BIN := .venv/bin
STAMP := .venv/.stamp
# The demo needs one target of three, which installs in a fraction of the time.
DEMO_STAMP := .venv/.demo-stamp
DEMO := build/demo-bundle
BASELINE := build/demo-independent
# The demo model was trained on 256 positions.
BUCKETS := --prompt 32,128 --cache 256 --max-new 96
SOURCES := $(shell find tandem_export -type f -not -path '*/__pycache__/*')

.PHONY: demo test lint bench train-demo

# Builds the demo bundle from the embedded checkpoint, once per change of the sources, and shows it:
# code that the model writes, the speed ratio, acceptance by position, parity.
demo: $(DEMO)/manifest.json
	$(BIN)/python examples/demo.py $(DEMO)

test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

bench: $(DEMO)/manifest.json $(BASELINE)/manifest.json
	$(BIN)/tandem-export bench $(DEMO) --baseline $(BASELINE) --out build/bench.json

# Hours on two cores; an interrupted run goes on where it stopped. Then the model card, and all of it
# into the package.
train-demo: $(STAMP)
	$(BIN)/python -m recipes.stdlib_mini.train --out build/train
	$(BIN)/python -m recipes.stdlib_mini.pilot --out build/train
	$(BIN)/python -m recipes.stdlib_mini.card --out build/train --install

$(DEMO)/manifest.json: CHECKPOINT = demo:stdlib-mini
$(BASELINE)/manifest.json: CHECKPOINT = demo:stdlib-mini-independent
$(DEMO)/manifest.json $(BASELINE)/manifest.json: $(DEMO_STAMP) $(SOURCES)
	$(BIN)/tandem-export build $(CHECKPOINT) --out $(@D) $(BUCKETS) --target stablehlo --overwrite

$(DEMO_STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[stablehlo]'
	touch $@

# tensorflow-serving-api asks for `tensorflow`; `tensorflow-cpu` is the same for it.
$(STAMP): $(DEMO_STAMP)
	$(BIN)/python -m pip install --quiet --editable '.[dev,openvino,plan,tpu,train]' grpcio
	$(BIN)/python -m pip install --quiet --no-deps 'tensorflow-serving-api>=2.21'
	touch $@
