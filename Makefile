# Each target does all the set-up it needs; a machine with Python and make is enough.
PYTHON ?= python3
VENV ?= .venv
OUT ?= studies/digits
BIN := $(VENV)/bin

.PHONY: study test slow check docs format clean

study: $(VENV)/.ready  ## the built-in study: verdicts on the terminal, a page on disk
	$(BIN)/foveal study --out $(OUT) --resume

test: $(VENV)/.ready  ## the default suite
	$(BIN)/python -m pytest -n 2 --dist worksteal

slow: $(VENV)/.ready  ## what takes minutes
	$(BIN)/python -m pytest -n 2 --dist worksteal --timeout 1800 -m slow

check: $(VENV)/.ready  ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

docs: $(VENV)/.ready  ## the site with a page for every mechanism, in site/
	$(BIN)/python -m docs.gallery

format: $(VENV)/.ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# uv installs in a quarter of pip's time; where it cannot be had, pip does the same work. As pip does,
# it is told to compile: where nobody else may, every process of the suite would, for seconds.
$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv \
	  && $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -e ".[dev]" -c constraints.txt \
	  || $(BIN)/python -m pip install --quiet -e ".[dev]" -c constraints.txt
	touch $@

clean:
	rm -rf $(VENV)
