# make demo · make test · make check · make bench: each sets up what it needs, once.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
APP := .venv/app

.PHONY: help demo test check bench format clean

help:
	@echo 'make demo    analyze the demo model and open the app on it'
	@echo 'make test    all tests'
	@echo 'make check   style, types, and which package may import which'
	@echo 'make bench   benchmarks, each against its limit and its peers'
	@echo 'make format  put the code into shape'

# The stamp is newer than what decides the set-up, or everything is installed again.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[models,plot]' --group dev
	@touch $@

# The web app goes into the package; built again where one of its sources is newer.
$(APP): $(READY) $(shell find web -type f -not -path '*/node_modules/*' 2>/dev/null)
	$(BIN)/python hatch_build.py
	@touch $@

demo: $(READY) $(APP)
	$(BIN)/torchlurk demo --out demo.lurk

test: $(READY) $(APP)
	$(BIN)/pytest --numprocesses auto --dist worksteal

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)
	@for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv build dist demo.lurk
