# `make demo` runs the main job, `make test` the tests; each makes .venv by itself.
PYTHON ?= python3
CONSTRAINTS ?= constraints.txt
# Another Python (`make test PYTHON=python3.13`) and other versions (`CONSTRAINTS=` takes the newest)
# have an environment of their own each.
ifeq ($(PYTHON) $(CONSTRAINTS),python3 constraints.txt)
VENV := .venv
else
VENV := .cache/venv/$(subst /,_,$(PYTHON)-$(or $(CONSTRAINTS),newest))
endif
BIN := $(VENV)/bin
WORK ?= work
# Compiled programs are kept between runs: it saves minutes.
export JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/.cache/jax
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS ?= 0.5

.PHONY: demo test test-slow test-kills test-browser test-browser-kills test-slurm lint bench bench-losses bench-device docs clean

$(VENV)/ready: setup.cfg $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check $(addprefix -c ,$(CONSTRAINTS)) -e ".[dev]"
	touch $@

demo: $(VENV)/ready
	$(BIN)/segjax train --config experiments/fovea/demo.py --workdir $(WORK)/demo
	@echo "Report: $(WORK)/demo/report.md, pictures: $(WORK)/demo/figures"

# Whole files at a time, over three processes: tests wait, for Slurm, browsers and what is to end, so
# that two cores are busy with three.
WORKERS ?= 3
test: $(VENV)/ready lint
	$(BIN)/pytest --numprocesses=$(WORKERS) --dist=loadfile --no-loadscope-reorder

test-slow: $(VENV)/ready
	$(BIN)/pytest -m slow

# Twenty kills at random moments, and jobs that lose a process: five minutes.
test-kills: $(VENV)/ready
	$(BIN)/python -m tests.kills

# In headless Chromium with chromedriver: Debian's packages chromium and chromium-driver.
test-browser: $(VENV)/ready
	SEGJAX_REQUIRE=browser $(BIN)/pytest tests/annotate/test_browser.py

# A hundred kills of the server or the browser between clicks: four minutes.
test-browser-kills: $(VENV)/ready
	$(BIN)/python -m tests.annotate.kills

# Under a Slurm of this machine alone: Debian's packages munge, slurmctld, slurmd and slurm-client.
test-slurm: $(VENV)/ready
	SEGJAX_REQUIRE=slurm $(BIN)/pytest tests/launch/test_slurm.py

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: $(VENV)/ready
	$(BIN)/segjax bench --config experiments/fovea/idrid.py:cpu
	$(BIN)/python benchmarks/train_step.py

# The peers (torch, monai, kornia, edt) may live in another environment: TORCH_PYTHON=/path/to/python
TORCH_PYTHON ?= $(BIN)/python
bench-losses: $(VENV)/ready
	$(BIN)/python benchmarks/losses.py --torch-python $(TORCH_PYTHON)

# On whatever device is found, in under eight minutes: a trial on a CPU is DEVICE_FLAGS=--small
bench-device: $(VENV)/ready
	$(BIN)/python benchmarks/device.py --torch-python $(TORCH_PYTHON) --output $(WORK)/device.md $(DEVICE_FLAGS)

docs: $(VENV)/ready
	$(BIN)/python docs/losses_table.py
	$(BIN)/python docs/augmentation_table.py
	$(BIN)/python docs/regions_picture.py
	$(BIN)/python docs/annotate_picture.py

clean:
	rm -rf $(VENV) .cache build *.egg-info
