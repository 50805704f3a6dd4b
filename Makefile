# Every command a person or the CI needs. `make help` lists them.

PYTHON ?= $(shell command -v python3.13 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
# The pinned environment is Python 3.13; others take what their index offers.
PINNED := $(shell $(PYTHON) -c 'import sys; print("-c constraints.txt" if sys.version_info[:2] == (3, 13) else "")')
# What root makes here under sudo is handed back to whoever called it.
HAND_BACK = if [ -n "$$SUDO_UID" ]; then find . -xdev -uid 0 -exec chown -h "$$SUDO_UID:$$SUDO_GID" {} +; fi
# Also where a command fails, e.g. a report whose notebook failed: each is run by these words.
.SHELLFLAGS = -c 'eval "$$0"; status=$$?; [ $$status = 0 ] || eval "$$HAND_BACK"; exit $$status'
export HAND_BACK
# JupyterLab refuses root unless told; in a container there may be nobody else.
ALLOW_ROOT = $(if $(filter 0,$(shell id -u)),--allow-root)

.DEFAULT_GOAL := help
.PHONY: help system install report lab talk notebooks test test-container test-slow test-long bench check format record clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# A report that follows prepares what it measures, each right before it: first verdicts first.
PREPARE = $(if $(filter report,$(MAKECMDGOALS)),true,$(BIN)/python -m caveatlib.prepare)

system: install ## as root on Debian or Ubuntu: install what live measuring needs
	@bash tools/system.sh
	@$(PREPARE) || echo "What is named above cannot be measured here; the rest can."
	@$(HAND_BACK)

install: $(VENV)/installed ## make .venv with everything the notebooks and tests need

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PINNED) -e '.[test]'
	@touch $@
	@$(HAND_BACK)

report: install ## measure what this machine can, replay the rest, write report/index.html
	$(BIN)/caveatlib report
	@$(HAND_BACK)

# JupyterLab drops the style of outputs that it does not trust, as those of a fresh clone.
lab: install ## open the notebooks in JupyterLab
	@$(BIN)/jupyter trust notebooks/*.ipynb >/dev/null
	$(BIN)/jupyter lab notebooks $(ALLOW_ROOT)

talk: $(VENV)/talk ## open the slides, their live parts measured; run it once before you leave the network
	-$(BIN)/caveatlib doctor --talk
	$(BIN)/jupyter trust notebooks/talk.ipynb
	CAVEATLIB_SOURCE=live $(BIN)/jupyter lab notebooks/talk.ipynb $(ALLOW_ROOT)

# A stage has no network: what is installed already is not asked for again.
$(VENV)/talk: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PINNED) -e '.[talk]'
	@touch $@
	@$(HAND_BACK)

notebooks: install ## run every notebook on the recorded data and keep its outputs; the README's parts, too
	$(BIN)/python tools/run_notebooks.py
	$(BIN)/python tools/readme.py

# Where others run beside, too many threads of OpenBLAS wait by spinning: kernels of notebooks get one.
test: export OPENBLAS_NUM_THREADS = 1
test: install ## the fast tests that this machine can run, the notebooks included
	$(BIN)/pytest -n 2 --dist loadfile -m 'beside and not slow'
	$(BIN)/pytest -m 'not beside and not slow'
	$(BIN)/pytest -n 2 --dist loadfile $$($(BIN)/python tools/nbval_mode.py) --nbval-current-env notebooks
	@$(HAND_BACK)

# What a container engine leaves to root unless told otherwise: no mount, no network device.
CONTAINER := -all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,+net_bind_service,+net_raw,+sys_chroot,+mknod,+audit_write,+setfcap

test-container: install ## as root: the fast tests that ask what a machine can do, with root's rights in a container
	CAVEATLIB_REQUIRE=$${CAVEATLIB_REQUIRE:+installed} setpriv --bounding-set=$(CONTAINER) --inh-caps=-all --no-new-privs \
		$(BIN)/pytest -m 'asks and not slow and not browser'
	@$(HAND_BACK)

test-slow: install ## the slow tests: simulations, kills, fuzzing, real A/A
	$(BIN)/pytest -n 2 --dist loadfile -m 'beside and slow and not long'
	$(BIN)/pytest -m 'not beside and slow and not long'
	@$(HAND_BACK)

test-long: install ## the longest: fifty boots, thirty kills, whole runs, 100,000 damaged images
	$(BIN)/pytest -m long
	@$(HAND_BACK)

bench: install ## ratios against peers, measured in the same run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PINNED) -e '.[bench]'
	@for b in tests/benchmarks/bench_*.py; do echo "== $$b"; $(BIN)/python $$b || exit 1; done

check: install ## what a reviewer would object to
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install ## write the code the agreed way
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

record: install ## as root on a quiet machine: measure every experiment in full
	$(BIN)/caveatlib measure $$($(BIN)/python -c 'from caveatlib.experiments import ALL; print(*(e.NAME for e in ALL))')
	@$(HAND_BACK)

clean: ## remove what measuring and building left, here and on the machine
	[ ! -x $(BIN)/caveatlib ] || $(BIN)/caveatlib clean
	rm -rf report dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis
