# Named commands are the manual: `make run`, `make test`, `make bench`.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: setup run test bench evaluate format clean browser web

setup: .venv/installed

.venv/installed: requirements.txt constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "需要 Python 3.11, 可用 make PYTHON=python3.11 指定"; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv 2>/dev/null \
		|| { bash debian.sh venv && $(PYTHON) -m venv --clear .venv; }
	@echo "安装依赖 (首次约需几分钟) ..."
	@$(PIP) -r requirements.txt
	@touch $@

.venv/installed-tools: .venv/installed tests/requirements.txt
	@$(PIP) -r tests/requirements.txt
	@touch $@

# Other people's models are only measured beside ours: without them `make evaluate` goes on and says so.
.venv/installed-peers: .venv/installed tests/peers.txt
	@$(PIP) -r tests/peers.txt && touch $@ || echo "装不上 tests/peers.txt, 对比中略过"

browser:
	@bash debian.sh browser

web:
	@bash debian.sh web || echo "没有 nginx, 它的测试会略过"

run: setup
	@exec $(BIN)/python manage.py up

test: .venv/installed-tools browser web
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy .
	$(BIN)/lint-imports
	$(BIN)/python -m pytest

bench: .venv/installed-peers
	@$(BIN)/python manage.py bench --json

evaluate: .venv/installed-peers
	@$(BIN)/python -m nlp.evaluate --data ../shared/data

format: .venv/installed-tools
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv data .mypy_cache .ruff_cache .pytest_cache .hypothesis
