# Works with GNU Make from 3.81 (macOS) on.
.DEFAULT_GOAL := help
PORT ?= 3000
ARCHITECTURE ?= arm64
STAGE ?= dev

# SAM CLI asks for a region even where it calls nobody. `make deploy` is not in this list: its region is the caller's.
run sam-local reset build lint audit check test bench faults fuzz model: export AWS_DEFAULT_REGION ?= us-east-1
# AWS's own CLI reads this variable first; SAM CLI reads only the other one.
ifdef AWS_REGION
export AWS_DEFAULT_REGION := $(AWS_REGION)
endif
export SAM_CLI_TELEMETRY := 0

# Programs are called as modules of the Python: the first line of a script names it by its whole path, which may
# have what a shell takes for its own.
BIN := .venv/bin
PACKAGES := .venv/installed
AUDIT := .venv/audit
AUDITOR := $(AUDIT)/installed
UV := $(BIN)/python -m uv
COMPILE := $(UV) pip compile --quiet --universal --generate-hashes --custom-compile-command "make lock"

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

.PHONY: run
run: free-port $(PACKAGES) ## Run the service on this machine until Ctrl-C; PORT=3000
	@$(BIN)/python -m local run --port $(PORT)

.PHONY: sam-local
sam-local: free-port $(PACKAGES) ## The same from what `sam build` makes, in SAM CLI's containers (needs Docker); PORT=3000
	@$(BIN)/python -m local sam-local --port $(PORT)

# Before a minute of installing; afterwards the program itself says so, and whether it runs there already.
.PHONY: free-port
free-port:
	@test -e $(PACKAGES) || ! command -v python3 >/dev/null || python3 -c "import socket; s = socket.socket(); \
	  s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(('127.0.0.1', $(PORT)))" 2>/dev/null || \
	  { echo "Port $(PORT) is in use; choose another one: PORT=3001" >&2; exit 1; }

.PHONY: seed
seed: $(PACKAGES) ## Give the running service three clients with favorites, and prices that changed
	@$(BIN)/python -m local seed

.PHONY: reset
reset: $(PACKAGES) ## Drop the data of `make run` and `make sam-local`
	@$(BIN)/python -m local reset

.PHONY: build
build: $(PACKAGES) ## Build what `sam deploy` uploads; ARCHITECTURE=x86_64 for Intel and AMD
	@$(BIN)/python -m samcli build --parameter-overrides Architecture=$(ARCHITECTURE)

.PHONY: deploy
deploy: $(PACKAGES) ## Build, and deploy to AWS as samconfig.toml says; STAGE=dev, staging or prod
	@$(BIN)/python -m samcli build --config-env $(STAGE)
	@sed -i.bak "s/RELEASE: by hand/RELEASE: $$(date -u +%Y-%m-%dT%H-%M-%SZ)/" .aws-sam/build/template.yaml
	@$(BIN)/python -m samcli deploy --config-env $(STAGE) $(DEPLOY)

.PHONY: smoke
smoke: $(PACKAGES) ## Ask a deployed service as a new client would, and leave nothing there; URL=https://…
	@test -n "$(URL)" || { echo "Say which: make smoke URL=https://…" >&2; exit 2; }
	@E2E_BASE_URL="$(URL)" $(BIN)/python -m pytest tests/e2e/api -m smoke --capture=no --quiet --durations=0

.PHONY: lock
lock: $(PACKAGES) ## Pin and hash all packages anew after a requirements.in or requirements-dev.in has changed
	@$(COMPILE) --python-version 3.13 layers/dependencies/requirements.in --output-file layers/dependencies/requirements.txt
	@$(COMPILE) --python-version 3.11 requirements-dev.in --output-file requirements-dev.txt

.PHONY: lint
lint: $(PACKAGES) ## Check style, types and the template
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m mypy
	$(BIN)/python -m samcli validate --lint

.PHONY: audit
audit: $(AUDITOR) ## Check the template's security with checkov
	$(AUDIT)/bin/python -m checkov.main --file template.yaml --framework cloudformation --compact --quiet --skip-download

.PHONY: format
format: $(PACKAGES) ## Put the code into shape
	$(BIN)/python -m ruff check --fix
	$(BIN)/python -m ruff format

.PHONY: endpoint
endpoint: $(PACKAGES) ## Begin a new endpoint; NAME=count_favorites ROUTE="GET /favorite-count" ROLE=callers
	@$(BIN)/python -m tools.endpoint "$(NAME)" "$(ROUTE)" "$(ROLE)"

.PHONY: generate
generate: $(PACKAGES) ## Write what follows from the code: OpenAPI document, tables of the contract, schemas of events
	@$(BIN)/python -m tools.generate

.PHONY: bench
bench: $(PACKAGES) ## Measure all figures and write docs/benchmarks.md; a quarter of an hour, 8 GB of disk
	@$(BIN)/python -m tests.benchmarks

# Three processes keep two processors busy: tests wait a lot. Coverage takes a third of the time and hardly ever
# changes: the build server measures it and holds its limit, as does `make test CI=true`. It has Docker's containers
# to run as well, and no hurry: two processes.
.PHONY: test
test: lint audit ## Check everything and run all tests
	$(BIN)/python -m pytest --numprocesses=$(if $(CI),2 --cov,3) -m "not alone"
	$(BIN)/python -m pytest $(if $(CI),--cov --cov-append) -m alone

.PHONY: check
check: $(PACKAGES) ## The inner loop, in 45 s: style, types and unit tests
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m mypy
	$(BIN)/python -m pytest --numprocesses=2 -m "not slow" tests/unit

.PHONY: faults
faults: $(PACKAGES) ## Let each server fail in every way while the service runs; 9 minutes
	@$(BIN)/python -m tests.faults

.PHONY: fuzz
fuzz: $(PACKAGES) ## Let Schemathesis ask 20,000 questions as a client and as an admin; 15 minutes
	@$(BIN)/python -m tests.fuzz

.PHONY: model
model: $(PACKAGES) ## Hold a minute of customers at random against a model
	@$(BIN)/python -m tests.model

# An environment is made anew when its Python is gone, or when its folder was moved or copied: the programs in it
# name the folder that they were made in.
ifneq ($(wildcard $(PACKAGES)),)
ifneq ($(shell [ "$$(sed -n 's/^command = .* -m venv --clear //p' .venv/pyvenv.cfg)" -ef .venv ] && $(BIN)/python -c "import samcli" 2>/dev/null && echo usable),usable)
$(info The Python of .venv is gone, or the folder was moved or copied: .venv is made anew.)
.PHONY: $(PACKAGES)
endif
endif

# An interpreter is run before it is trusted: a `python3.13` on the PATH may be a version manager's shim that
# fails, or one without the parts that make a virtual environment.
$(PACKAGES): requirements-dev.txt
	@for minor in 13 12 11; do \
	  for python in python3.$$minor python3 python; do \
	    if $$python -c "import sys, venv, ensurepip; assert sys.version_info[:2] == (3, $$minor)" >/dev/null 2>&1; \
	    then break 2; fi; \
	    python=; \
	  done; \
	done; \
	if [ -z "$$python" ]; then echo "Python 3.13, 3.12 or 3.11 (with venv) is needed and none was found." >&2; exit 1; fi; \
	echo "Installing into .venv with $$python…"; \
	$$python -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check "$$(grep -o '^uv==[^ ]*' requirements-dev.txt)"
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes --requirement requirements-dev.txt
	@touch $(PACKAGES)

$(AUDITOR): tests/requirements-checkov.txt | $(PACKAGES)
	@echo "Installing checkov into $(AUDIT); the first time takes a minute…"
	@$(UV) venv --quiet --clear --python $(BIN)/python $(AUDIT)
	@$(UV) pip install --quiet --python $(AUDIT)/bin/python --requirement $<
	@touch $@
