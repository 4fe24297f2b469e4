PYTHON ?= python3
BIN := .venv/bin
extra-test := [test]

.PHONY: demo test lint assets clean

demo: .venv/.installed-base
	$(BIN)/braindecode-x demo

test: lint
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

lint: .venv/.installed-test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy braindecode_x

assets: .venv/.installed-base
	$(BIN)/python pipelines/assets/build_all.py

clean:
	rm -rf dist build/lib build/bdist.* .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +

.venv/.installed-%: pyproject.toml setup.py
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --editable ".$(extra-$*)"
	touch $@
