# make demo · make test · make check · make bench: each sets up what it needs, once.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
APP := .venv/app

# Tests start many processes: without this each would compile all modules again where the caller keeps no compiled ones.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help browser demo test test-quick check package bench format clean

help:
	@echo 'make demo    analyze the demo models, for pictures and for text, and open the app on both'
	@echo 'make test    all tests; make test-quick those that are not marked slow'
	@echo 'make check   style, types, and which package may import which'
	@echo 'make package build wheel and source distribution, and try both in an environment of their own'
	@echo 'make bench   benchmarks, each against its limit and its peers'
	@echo 'make format  put the code into shape'

# The stamp is newer than what decides the set-up, or everything is installed again.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[fast,models,plot,text]' --group dev
	@touch $@

# The web app goes into the package; built again where one of its sources is newer.
$(APP): $(READY) $(shell find web -type f -not -path '*/node_modules/*' 2>/dev/null)
	$(BIN)/python hatch_build.py
	@touch $@

demo: $(READY) $(APP)
	$(BIN)/torchlurk demo --text --no-serve --out demo-text.lurk
	$(BIN)/torchlurk demo --out demo.lurk --with demo-text.lurk

# The browser of the end-to-end tests: installed where that is possible without asking; without one they are skipped.
BROWSER := $(or $(TORCHLURK_CHROMIUM),$(shell command -v chromium chromium-browser google-chrome 2>/dev/null | head -n 1))
browser:
ifeq ($(BROWSER),)
	-@[ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get install --yes --quiet chromium >/dev/null
endif

test: $(READY) $(APP) browser
	$(BIN)/python hatch_build.py test
	$(BIN)/pytest --numprocesses auto --dist worksteal

test-quick: $(READY) $(APP)
	$(BIN)/pytest --numprocesses auto --dist worksteal -m 'not slow'

check: $(READY) $(APP)
	$(BIN)/python hatch_build.py check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

package: $(READY) $(APP)
	$(BIN)/python release/try_package.py

bench: $(READY)
	@for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv build dist demo.lurk demo-text.lurk
