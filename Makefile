# `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

CARGO ?= cargo
DENY := $(CARGO) deny --locked
# Where cargo puts what it builds.
TARGET := $(or $(CARGO_TARGET_DIR),target)

# Targets share the build directory and lock each other out: nothing is won by running them side by side.
.NOTPARALLEL:

.PHONY: help
help: ## Show this list
	@sed -nE 's/^([a-z-]+):.*## (.*)$$/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

.PHONY: test
test: as-root setup lint deny-if-present ## Everything that must hold: format, lints, licences, all tests; ends with a count
	# With the tests, so that what both are made of is built once: some tests ask their dependencies for more.
	$(CARGO) build --workspace --all-targets --locked
	@scripts/test-summary $(CARGO) test --workspace --locked --no-fail-fast

.PHONY: bench
bench: setup ## Measure: reads and writes with few and a million objects, a fleet of simulated hosts, memory, time to a guest's first line, and without a leader
	$(CARGO) build --release --workspace --locked
	$(CARGO) test --release --locked -p rempart-tests --test bench -- --ignored --nocapture

# A failing seed says how it is run again. `make test` runs a fixed set and a few fresh ones.
SEEDS ?= 50
.PHONY: sim
sim: ## Simulate controllers, disks, databases, clients and hosts under faults: SEEDS=n fresh seeds, and every planted bug
	REMPART_SIM_SEEDS=$(SEEDS) $(CARGO) test --locked -p rempart-controller --lib simulation:: -- --include-ignored --nocapture

# Not part of `make test`: it is fetched from the Python package index, and takes its time.
SCHEMATHESIS_SECONDS ?= 300
.PHONY: schemathesis
schemathesis: setup build ## Let schemathesis generate requests against a live server for SCHEMATHESIS_SECONDS (fetches it once)
	@[[ -x $(TARGET)/schemathesis/bin/schemathesis ]] || { \
	    python3 -m venv $(TARGET)/schemathesis && $(TARGET)/schemathesis/bin/pip install -q schemathesis==4.32.5; \
	}
	SCHEMATHESIS=$(abspath $(TARGET)/schemathesis/bin/schemathesis) SCHEMATHESIS_SECONDS=$(SCHEMATHESIS_SECONDS) \
	    $(CARGO) test --locked -p rempart-tests --test schemathesis -- --ignored --nocapture

# Not part of `make test`: Debian 12 has no Go that is new enough, and the client is fetched as Go modules are.
GO ?= $(or $(shell command -v go),$(wildcard /usr/local/go/bin/go),go)
GO_MINIMUM = $(shell sed -n 's/^go //p' tests/go-client/go.mod)
.PHONY: go-client
go-client: new-enough-go as-root setup build ## Let the released Go client of SECA use a live server with a guest (needs Go; fetches the client once)
	cd tests/go-client && GOTOOLCHAIN=local $(GO) vet ./...
	@cd tests/go-client && others=$$("$$($(GO) env GOROOT)/bin/gofmt" -l .) && [[ -z $$others ]] || { \
	    echo "tests/go-client: gofmt would write these otherwise:" $$others >&2; exit 1; }
	GO=$(GO) GOTOOLCHAIN=local $(CARGO) test --locked -p rempart-tests --test go_client -- --ignored --nocapture --test-threads=1

.PHONY: new-enough-go
new-enough-go:
	@install="Install Go $(GO_MINIMUM) or newer, or say where it is: make go-client GO=/path/to/go"; \
	version=$$(GOTOOLCHAIN=local $(GO) env GOVERSION 2>/dev/null) || { \
	    echo "Go is not installed ($(GO) does not run). $$install" >&2; exit 1; }; \
	printf '%s\n' "$(GO_MINIMUM)" "$${version#go}" | sort --check=quiet --version-sort || { \
	    echo "$(GO) is $$version, too old for the client. $$install" >&2; exit 1; }

# The demo and the end-to-end tests run the binaries of this profile.
.PHONY: build
build: setup ## Build everything
	$(CARGO) build --workspace --locked

# IMAGE=debian: guests with cloud-init, built in two minutes the first time.
IMAGE ?= tiny

.PHONY: demo
demo: as-root build ## Start a whole Rempart on this machine and show a tenant getting two virtual machines (IMAGE=debian)
	@$(TARGET)/debug/rempart-demo up --image $(IMAGE)

.PHONY: demo-down
demo-down: as-root ## End the demo and remove what it made
	@dir=$${REMPART_DEMO_DIR:-/var/lib/rempart-demo}; \
	if [[ ! -e "$$dir" ]]; then \
	    echo "No demo is here ($$dir); nothing to take down."; \
	else \
	    if [[ ! -x $(TARGET)/debug/rempart-demo ]]; then \
	        echo "Building what takes the demo down; it is not in $(TARGET)/debug (some minutes)."; \
	        $(CARGO) build --workspace --locked; \
	    fi; \
	    $(TARGET)/debug/rempart-demo down; \
	fi

.PHONY: setup
setup:
	@scripts/setup

# What tests and demo start: libvirt daemons in mount namespaces of their own.
.PHONY: as-root
as-root:
	@scripts/setup --as-root "make $(MAKECMDGOALS)"

.PHONY: lint
lint: ## Format check and lints, warnings being errors
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

.PHONY: fmt
fmt: ## Format all code
	$(CARGO) fmt --all

.PHONY: deny
deny: ## Check licences, banned crates and sources of all dependencies (needs cargo-deny)
	@$(CARGO) deny --version >/dev/null 2>&1 || { \
	    echo "cargo-deny is not installed. Get it (some minutes): cargo install cargo-deny --locked --version '^0.20'" >&2; \
	    exit 1; }
	$(DENY) check --hide-inclusion-graph licenses bans sources

# Part of `make test` where the program is there; duplicates, which only warn, are left to `make deny`.
.PHONY: deny-if-present
deny-if-present:
	@if $(CARGO) deny --version >/dev/null 2>&1; then \
	    $(DENY) --log-level error check --hide-inclusion-graph licenses bans sources; \
	else \
	    echo "cargo-deny is not installed: licences and sources are not checked (make deny says how)"; \
	fi
