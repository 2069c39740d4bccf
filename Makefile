# Every target makes the environment it needs by itself (tools/environment.sh), outside this checkout.
.DEFAULT_GOAL := help
.PHONY: help demo test test-slow torture format bench where clean-env

# Measured on two cores: BLAS, OpenMP and Numba each starting a thread per core fight for the same cores.
THREADS ?= $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
export OMP_NUM_THREADS ?= $(THREADS)
export NUMBA_NUM_THREADS ?= $(THREADS)
# Tests run file by file in this many processes of one thread each. A third of their time they wait, for a browser or a
# command, so there is one more than threads, and four at most; each takes up to 3 GB of memory.
ROOM ?= $(shell awk '/MemAvailable/ { print int($$2 / 3000000) }' /proc/meminfo 2>/dev/null || echo $(THREADS))
PROCESSES ?= $(shell printf '%s\n' 4 $$(($(THREADS) + 1)) $(ROOM) | sort -n | awk 'NR == 1 { print ($$1 > 1 ? $$1 : 1) }')
# Threads that wait sleep: spinning, two of them are ten times slower than one beside other work.
export OMP_WAIT_POLICY ?= PASSIVE
# A newer pyright is news, but not for whoever runs the tests.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1
# This checkout comes first, even while another one shares the environment.
export PYTHONPATH := $(CURDIR)$(if $(PYTHONPATH),:$(PYTHONPATH))

OUTPUT ?= outputs/demo
DEVICE ?= cpu
ready = environment=$$(tools/environment.sh ready) && export PATH="$$environment/bin:$$PATH" && set -x

help:  ## list what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo:  ## make a procedural talking head, train on it, render it with unseen sound (OUTPUT=DIR)
	@$(ready) && ns-talking demo --output $(OUTPUT)

test:  ## formatting, lint, types and every test that is not slow
	@$(ready) && ruff format --check . && ruff check . && pyright && \
		OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 pytest --numprocesses $(PROCESSES) --dist loadfile $(TESTS)

test-slow:  ## the tests on real clips, which need the folder that NS_TALKING_SHARED names
	@$(ready) && pytest -m slow --session-timeout=1800 $(TESTS)

torture:  ## kill commands, damage 2,000 files, render an hour, and write benchmarks/results (an hour or more)
	@$(ready) && python benchmarks/torture.py all --shared $${NS_TALKING_SHARED:-../shared}

format:  ## format the code and mend what the linter can mend
	@$(ready) && ruff format . && ruff check --fix .

bench:  ## time kernels, training steps and frames, and write benchmarks/results (DEVICE=cuda on a GPU)
	@$(ready) && python benchmarks/kernels.py --device $(DEVICE) && python benchmarks/methods.py --device $(DEVICE)

where:  ## print the folder of the environment
	@tools/environment.sh where

clean-env:  ## delete the environment
	@tools/environment.sh clean
