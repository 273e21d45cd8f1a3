PYTHON ?= python3
# With libtpu installed, jax would look for a TPU first, and complain.
export JAX_PLATFORMS ?= cpu
BIN := .venv/bin
TEST_EXTRAS := dev openvino plan tpu train
comma := ,
space := $(subst ,, )
STAMP := .venv/.stamp
# The demo needs one target of three, which installs in a fraction of the time.
DEMO_STAMP := .venv/.demo-stamp
DEMO := build/demo-bundle
BASELINE := build/demo-independent
# The demo in the forms that every engine in this process runs.
ENGINES := build/demo-engines
# The same in the batch buckets that a load is measured with.
LOAD := build/demo-load
# transformers and torch, which the tests do without.
REFERENCE := build/reference-venv
# A random pair of 22 M parameters.
PAIR := build/pair-22m
# The demo model was trained on 256 positions.
BUCKETS := --prompt 32,128 --cache 256 --max-new 96
ENGINE_FORMS := --gamma 5 --format onnx --overwrite \
	--graphs prefill,insert,primary_block,drafter_step,router,round,round_router
# With one thread each, the CPU time of engines compares on a machine that does other work.
ALL_FORMS := --threads 1 --executors jax,onnxruntime,onnxruntime:mapped,openvino,openvino:mapped
ONE_THREAD := XLA_FLAGS=--xla_cpu_multi_thread_eigen=false
FUZZ_CASES ?= 1000000
FUZZ_SEED ?= 1
SOURCES := $(shell find tandem_export -type f -not -path '*/__pycache__/*')

.PHONY: docs demo test test-slow fuzz test-latest test-lowest lint lock bench bench-serve bench-onnx train-demo goldens

# Builds the demo bundle from the embedded checkpoint, once per change of the sources, and shows it:
# code that the model writes, the speed ratio, acceptance by position, parity.
demo: $(DEMO)/manifest.json
	$(BIN)/python examples/demo.py $(DEMO)

test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

# What does not fit into a quarter of an hour: P0 over 64 held-out prompts, sizes of default builds.
test-slow: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist loadfile -m slow

# A million cases over every kind of input, hours on two cores; the table so far is in build/fuzz.txt.
fuzz: $(STAMP)
	mkdir -p build
	$(BIN)/python -m tests.fuzz --cases $(FUZZ_CASES) --seed $(FUZZ_SEED) --out build/fuzz.txt

# Serves the documentation, and builds it anew when a page changes.
docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

bench: $(DEMO)/manifest.json $(BASELINE)/manifest.json $(ENGINES)/manifest.json
	$(BIN)/tandem-export bench $(DEMO) --baseline $(BASELINE) --out build/bench.json
	$(ONE_THREAD) $(BIN)/tandem-export bench-executors $(ENGINES) $(ALL_FORMS) --out build/bench-executors.json
	$(BIN)/tandem-export plan 8b --chip v5e-4 --json > build/plan.json
	$(BIN)/tandem-export compile $(DEMO) --chip v5e --no-reuse --out build/compile.json

# What the tests compare with: logits that transformers and torch compute, files that torch writes,
# and the outputs of the example of an owner's own program.
goldens: $(REFERENCE)/.stamp
	$(REFERENCE)/bin/python -m tests.importing.reference
	$(REFERENCE)/bin/python -m tests.importing.torch_files
	$(REFERENCE)/bin/python examples/own_weights/owner.py tests/examples/goldens

# One engine under 64 requests at once, in batch buckets 1, 4 and 8: throughput, waiting, scheduling.
bench-serve: $(LOAD)/manifest.json
	$(BIN)/tandem-export bench-load $(LOAD) --executor onnxruntime --out build/bench-serve-onnxruntime.json
	$(BIN)/tandem-export bench-load $(LOAD) --executor openvino --out build/bench-serve-openvino.json
	$(BIN)/tandem-export bench-load $(LOAD) --executor jax --out build/bench-serve-jax.json

# What docs/measured/engines.md says of the larger pair.
bench-onnx: $(PAIR)/float32/manifest.json $(PAIR)/bfloat16/manifest.json $(PAIR)/int8/manifest.json
	$(ONE_THREAD) $(BIN)/tandem-export bench-executors $(PAIR)/float32 $(ALL_FORMS)
	for dtype in bfloat16 int8; do $(BIN)/tandem-export bench-executors $(PAIR)/$$dtype --threads 1 \
		--executors onnxruntime,onnxruntime:mapped,openvino,openvino:mapped; done
	$(BIN)/python -m experiments.hand_steps $(PAIR)/float32
	$(BIN)/python -m experiments.int8_forms $(PAIR)/int8 $(PAIR)/float32

# Hours on two cores; an interrupted run goes on where it stopped. Then the model card, and all of it
# into the package.
train-demo: $(STAMP)
	$(BIN)/python -m recipes.stdlib_mini.train --out build/train
	$(BIN)/python -m recipes.stdlib_mini.pilot --out build/train
	$(BIN)/python -m recipes.stdlib_mini.card --out build/train --install

$(DEMO)/manifest.json: CHECKPOINT = demo:stdlib-mini
$(BASELINE)/manifest.json: CHECKPOINT = demo:stdlib-mini-independent
$(DEMO)/manifest.json $(BASELINE)/manifest.json: $(DEMO_STAMP) $(SOURCES)
	$(BIN)/tandem-export build $(CHECKPOINT) --out $(@D) $(BUCKETS) --format stablehlo --overwrite

$(ENGINES)/manifest.json: $(STAMP) $(SOURCES)
	$(BIN)/tandem-export build demo:stdlib-mini --out $(@D) $(BUCKETS) $(ENGINE_FORMS) --format stablehlo

$(LOAD)/manifest.json: $(STAMP) $(SOURCES)
	$(BIN)/tandem-export build demo:stdlib-mini --out $(@D) $(BUCKETS) --batch 1,4,8 $(ENGINE_FORMS) \
		--format stablehlo

$(PAIR)/checkpoint/tandem.json: $(STAMP) experiments/pair_22m.toml
	rm -rf $(@D)
	$(BIN)/python -m experiments.random_pair experiments/pair_22m.toml $(@D)

$(PAIR)/float32/manifest.json: ARITHMETIC = --dtype float32 --format stablehlo
$(PAIR)/bfloat16/manifest.json: ARITHMETIC = --dtype bfloat16
$(PAIR)/int8/manifest.json: ARITHMETIC = --quantize int8
$(PAIR)/%/manifest.json: $(PAIR)/checkpoint/tandem.json $(SOURCES)
	$(BIN)/tandem-export build $(<D) --out $(@D) $(ARITHMETIC) $(ENGINE_FORMS)

$(REFERENCE)/.stamp: pyproject.toml
	test -x $(REFERENCE)/bin/python || $(PYTHON) -m venv $(REFERENCE)
	$(REFERENCE)/bin/python -m pip install --quiet --editable '.[reference]'
	touch $@

# Every package comes from a lock with hashes: these commands install the same versions in years.
INSTALL := $(BIN)/python -m pip install --quiet
LOCKED := --require-hashes --no-deps

$(DEMO_STAMP): pyproject.toml requirements/demo.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(INSTALL) $(LOCKED) --requirement requirements/demo.txt
	$(INSTALL) --no-deps --no-build-isolation --editable .
	touch $@

$(STAMP): $(DEMO_STAMP) requirements/test.txt requirements/no-deps.txt
	$(INSTALL) $(LOCKED) --requirement requirements/test.txt --requirement requirements/no-deps.txt
	touch $@

COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --custom-compile-command 'make lock' --upgrade

# The newest versions that pyproject.toml allows, one set for both commands: what the demo installs is
# part of what the tests install.
lock: $(STAMP)
	$(COMPILE) pyproject.toml requirements/backend.in $(TEST_EXTRAS:%=--extra %) \
		--output-file requirements/test.txt
	$(COMPILE) pyproject.toml requirements/backend.in --extra stablehlo --constraint requirements/test.txt \
		--output-file requirements/demo.txt
	$(COMPILE) requirements/no-deps.in --no-deps --output-file requirements/no-deps.txt

# The tests with the newest and with the oldest versions that pyproject.toml allows, each in an
# environment of its own; `make test-latest PYTHON=python3.13` takes another interpreter.
test-latest: RESOLUTION := highest
test-lowest: RESOLUTION := lowest-direct
test-latest test-lowest: $(STAMP)
	$(BIN)/uv venv --quiet --clear --seed --python $(PYTHON) build/$@
	$(BIN)/uv pip install --quiet --python build/$@ --resolution $(RESOLUTION) \
		--requirement requirements/backend.in --editable '.[$(subst $(space),$(comma),$(TEST_EXTRAS))]'
	$(BIN)/uv pip install --quiet --python build/$@ --resolution $(RESOLUTION) --no-deps \
		--requirement requirements/no-deps.in
	$(BIN)/uv pip freeze --python build/$@ > build/$@-versions.txt
	build/$@/bin/python -m pytest -n 2 --dist loadfile -m "not slow"
