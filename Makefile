# Every target runs from a fresh clone with Go alone, except `generate` (protoc)
# and `lint` (builds its linter once).

GO    ?= go
BIN   := $(CURDIR)/bin
TOOLS := $(CURDIR)/.bin

GOLANGCI_VERSION := v2.15.0
GOLANGCI         := $(TOOLS)/golangci-lint-$(GOLANGCI_VERSION)

NFPM_VERSION := v2.43.0
NFPM         := $(TOOLS)/nfpm-$(NFPM_VERSION)

GOVULNCHECK_VERSION := v1.9.0
GOVULNCHECK         := $(TOOLS)/govulncheck-$(GOVULNCHECK_VERSION)

PROGRAMS := ./ops/backfleet ./agent ./ops/backfleet-task

# The race detector needs a C compiler. Where there is none, tests run without
# it and say so.
HAVE_CC := $(shell command -v $$($(GO) env CC) 2>/dev/null)
RACE    := $(if $(HAVE_CC),-race)

# Without symbols. gRPC's page of traces is left out of the agent's two as well: it links
# templates, which find methods by name, and so the linker would keep them all.
SMALL := -trimpath -ldflags "-s -w"

# Proofs that run for long; `make seeds SEEDS=100000` for longer.
SEEDS ?= 20000

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/backfleet, and for worker hosts bin/backfleet-agent and bin/backfleet-task
	$(GO) build $(SMALL) -o $(BIN)/backfleet ./ops/backfleet
	$(GO) build $(SMALL) -tags grpcnotrace -o $(BIN)/backfleet-agent ./agent
	$(GO) build $(SMALL) -tags grpcnotrace -o $(BIN)/backfleet-task ./ops/backfleet-task

.PHONY: demo
demo: ## three coordinators, two agents, 1,461 days; the leader is killed twice; under three minutes
	$(GO) run ./ops/demo $(ARGS)

.PHONY: examples
examples: ## retail and flights on fleets of their own, every row checked; RETAIL=--postgres for a real server
	$(GO) run ./ops/examples/retail/run $(RETAIL)
	$(GO) run ./ops/examples/flights/run $(FLIGHTS)

.PHONY: dev
dev: build ## one coordinator and one agent here, to play with
	$(BIN)/backfleet dev $(ARGS)

.PHONY: test
test: ## all tests, with the race detector
	@$(if $(HAVE_CC),:,echo "no C compiler: the tests run without the race detector")
	$(GO) test $(RACE) -timeout 15m ./...
	@# Slow under the race detector: there they do less, so here is the whole.
	$(if $(RACE),$(GO) test -timeout 15m ./integration/sim ./integration/naive)
	$(if $(RACE),$(GO) test -timeout 15m -run LargePlan ./integration/e2e)

.PHONY: lint
lint: $(GOLANGCI) ## gofmt, go vet and golangci-lint
	@bad=$$(gofmt -l $$($(GO) list -f '{{.Dir}}' ./...)); if [ -n "$$bad" ]; then echo "gofmt would change:"; echo "$$bad"; exit 1; fi
	$(GO) vet ./...
	$(GOLANGCI) run ./...

# Built beside the module, whose dependencies it must not bend.
$(GOLANGCI):
	GOFLAGS= GOBIN=$(TOOLS)/build $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	mv $(TOOLS)/build/golangci-lint $@

.PHONY: check-deps
check-deps: $(GOVULNCHECK) ## licences and known vulnerabilities of what the binaries link; VULNDB=file:///… for a copy
	$(GO) run ./ops/notices $(PROGRAMS)
	@# With symbols: by them a vulnerability counts only where it is called.
	mkdir -p $(TOOLS)/linked
	CGO_ENABLED=0 $(GO) build -trimpath -o $(TOOLS)/linked/ $(PROGRAMS)
	ops/vulnerabilities.sh $(GOVULNCHECK) $(TOOLS)/linked/*

$(GOVULNCHECK):
	GOFLAGS= GOBIN=$(TOOLS)/build $(GO) install golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION)
	mv $(TOOLS)/build/govulncheck $@

.PHONY: notices
notices: ## the licences of what the binaries link, in dist/THIRD_PARTY
	mkdir -p $(DIST)
	$(GO) run ./ops/notices -o $(DIST)/THIRD_PARTY $(PROGRAMS)

# How long each target of `make fuzz` runs.
FOR ?= 1h

.PHONY: fuzz
fuzz: ## fuzz every parser, one after the other; FOR=10m, ONLY=FuzzRequests
	GO="$(GO)" ops/fuzz.sh $(FOR) $(ONLY)

.PHONY: generate
generate: ## make the code of the protocol and of the API again (needs protoc)
	GOBIN=$(TOOLS) $(GO) install google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc
	$(GO) generate ./...

.PHONY: bench
bench: ## the figures, each beside the bound measured in the same run; also as JSON in figures/
	$(GO) run ./ops/bench -o figures/ $(ARGS)

.PHONY: soak
soak: ## an hour of work on real processes, some of them killed: memory, disk and speed must stay as they were
	$(GO) run ./ops/bench soak --for 1h $(ARGS)

.PHONY: seeds
seeds: ## the simulation, and engine against rules, over many seeds
	$(GO) test -timeout 0 ./integration/sim -sim.seeds $(SEEDS) -sim.seasons $$(($(SEEDS) / 200 + 1))
	$(GO) test -timeout 0 ./integration/naive -naive.seeds $(SEEDS)

# Losses of leaders and agents, again and again; `make drill TIMES=20` for longer.
TIMES ?= 3

.PHONY: drill
drill: ## kill, freeze, cut off and fill up real processes, again and again
	$(GO) test -timeout 0 -count $(TIMES) -v -run 'Killed|Restarted|Stops|Outlives|LeaderChange' ./integration/e2e
	$(GO) test -timeout 0 -count $(TIMES) -v ./integration/faults

# Of packages: the last tag, or below every release with the time of the commit.
VERSION ?= $(shell git describe --tags --exact-match 2>/dev/null | sed 's/^v//' || true)
DIST    ?= $(CURDIR)/dist

.PHONY: package
package: $(NFPM) ## Debian packages in dist/; VERSION=1.0.0
	GO="$(GO)" ops/deploy/package.sh $(NFPM) "$(or $(VERSION),0.0.0~git$$(git log -1 --format=%cd --date=format:%Y%m%d%H%M%S))" $(DIST)

$(NFPM):
	GOFLAGS= GOBIN=$(TOOLS)/build $(GO) install github.com/goreleaser/nfpm/v2/cmd/nfpm@$(NFPM_VERSION)
	mv $(TOOLS)/build/nfpm $@

.PHONY: check-deploy
check-deploy: ## lint scripts, units, Containerfile and manifests (needs Python)
	GO="$(GO)" ops/deploy/check.sh $(TOOLS)

SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo -n)

.PHONY: verify-deploy
verify-deploy: ## install, run, upgrade and purge the packages in a fresh Debian (needs root and mmdebstrap)
	rm -rf $(DIST)/verify
	$(MAKE) package VERSION=1.0.0~verify1 DIST=$(DIST)/verify/old
	$(MAKE) package VERSION=1.0.0~verify2 DIST=$(DIST)/verify/new
	$(SUDO) ops/deploy/verify.sh $(DIST)/verify/old $(DIST)/verify/new

.PHONY: clean
clean: ## remove what was built
	rm -rf $(BIN) $(TOOLS) $(DIST)
	$(GO) clean -testcache
