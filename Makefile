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
LINKED   := $(TOOLS)/linked

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

# Where the race detector would cost five times the work and find nothing: what has no goroutines by its lint rules (the
# core) or by its making (simulations of it), and tests of programs, which are built without it. The longest first.
PLAIN := ./integration/sim ./integration/e2e ./integration/runbooks ./integration/upgrade ./integration/history \
	./integration/faults ./integration/traces ./ops/drill ./integration/secure ./api/cli ./ops/examples/... ./integration/naive \
	./integration/mutations/... ./integration/peers ./coordinator/state ./coordinator/schedule/... ./pkg/plan ./pkg/node \
	./integration/script ./integration/deps ./integration/deploy ./pkg/calendar ./pkg/params

# go test looks with a part of what lint looks with.
TEST := test -vet=off -timeout 15m

.PHONY: test
test: test-race test-plain ## all tests, with the race detector where there are goroutines; `make -j2 test` on a machine of one's own

.PHONY: test-race
test-race:
	@$(if $(HAVE_CC),:,echo "no C compiler: the tests run without the race detector")
	$(GO) $(TEST) $(RACE) $$($(GO) list ./... | grep -vxF "$$($(GO) list $(PLAIN))")
	@# Of those without it: a state that is read while it is changed; commands, but not each script, which starts programs.
	$(if $(RACE),$(GO) $(TEST) $(RACE) -run '^TestReadersAndDroppedEdits$$' ./coordinator/state)
	$(if $(RACE),$(GO) $(TEST) $(RACE) -skip '^TestScripts$$' ./api/cli)

.PHONY: test-plain
test-plain: linked
	@# Programs that are tested from outside mostly wait.
	BACKFLEET_BUILT=$(LINKED)/backfleet $(GO) $(TEST) -p 4 $(PLAIN)

# Built once for all who look at them or start them. With symbols.
.PHONY: linked
linked:
	mkdir -p $(LINKED)
	$(GO) build -o $(LINKED)/ $(PROGRAMS)

.PHONY: race
race: ## all tests with the race detector, those as well where `make test` is without it
	$(GO) test -race -timeout 0 ./...

.PHONY: lint
lint: $(GOLANGCI) ## gofmt and golangci-lint, of which all analyzers of go vet are a part
	@bad=$$(gofmt -l $$($(GO) list -f '{{.Dir}}' ./...)); if [ -n "$$bad" ]; then echo "gofmt would change:"; echo "$$bad"; exit 1; fi
	nice $(GOLANGCI) run ./...

# Built beside the module, whose dependencies it must not bend.
$(GOLANGCI):
	GOFLAGS= GOBIN=$(TOOLS)/build nice $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	mv $(TOOLS)/build/golangci-lint $@

.PHONY: check-deps
check-deps: $(GOVULNCHECK) linked ## licences and known vulnerabilities of what the binaries link; VULNDB=file:///… for a copy
	$(GO) run ./ops/notices -page api/web/dist/licenses.json $(PROGRAMS)
	@# By symbols a vulnerability counts only where it is called.
	ops/vulnerabilities.sh $(GOVULNCHECK) $(LINKED)/*

$(GOVULNCHECK):
	GOFLAGS= GOBIN=$(TOOLS)/build nice $(GO) install golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION)
	mv $(TOOLS)/build/govulncheck $@

.PHONY: notices
notices: ## the licences of what the binaries link, in dist/THIRD_PARTY
	mkdir -p $(DIST)
	$(GO) run ./ops/notices -o $(DIST)/THIRD_PARTY -page api/web/dist/licenses.json $(PROGRAMS)

# How long each target of `make fuzz` runs.
FOR ?= 1h

.PHONY: fuzz
fuzz: ## fuzz every parser, one after the other; FOR=10m, ONLY=FuzzRequests
	GO="$(GO)" ops/fuzz.sh $(FOR) $(ONLY)

SCHEMATHESIS_VERSION := 4.32.5
SCHEMATHESIS         := $(TOOLS)/schemathesis-$(SCHEMATHESIS_VERSION)

.PHONY: fuzz-api
fuzz-api: $(SCHEMATHESIS)/bin/schemathesis ## hold a real coordinator's answers against the contract, whatever it is asked; FOR=60s (needs Python)
	mkdir -p $(TOOLS)/linked
	$(GO) build -o $(TOOLS)/linked/backfleet ./ops/backfleet
	$(GO) build -o $(TOOLS)/linked/backfleet-agent ./agent
	ops/fuzz-api.sh $(SCHEMATHESIS) $(TOOLS)/linked $(FOR)

$(SCHEMATHESIS)/bin/schemathesis:
	python3 -m venv $(SCHEMATHESIS)
	$(SCHEMATHESIS)/bin/pip install --quiet schemathesis==$(SCHEMATHESIS_VERSION)

.PHONY: web-generate
web-generate: api/web/node_modules ## make the page's types of the API again (needs Node.js)
	cd api/web && npm run generate

.PHONY: web
web: api/web/node_modules ## build the page into api/web/dist, which is committed (needs Node.js)
	cd api/web && npm run --silent build

.PHONY: check-web
check-web: api/web/node_modules linked ## the page's source: types are fresh, it compiles, its client works with a real coordinator, what is committed was built of it
	@cp api/web/src/api/schema.d.ts $(TOOLS)/schema.before
	cd api/web && npm run --silent generate
	@cmp $(TOOLS)/schema.before api/web/src/api/schema.d.ts || { echo "api/web/src/api/schema.d.ts was stale: commit what \`make web-generate\` made of it" >&2; exit 1; }
	cd api/web && npm run --silent check && BACKFLEET=$(LINKED)/backfleet npm test
	cd api/web && npm run --silent build -- --outDir $(TOOLS)/page/dist --emptyOutDir
	@diff -rq $(TOOLS)/page/dist api/web/dist || { echo "api/web/dist was not built of this source: commit what \`make web\` makes" >&2; exit 1; }

LOOKS ?= 1440-light-en

.PHONY: check-page
check-page: api/web/node_modules linked ## the page in Chromium, against a real cluster; ARGS=e2e/graph.spec.ts
	BACKFLEET_BUILT=$(LINKED)/backfleet $(GO) run ./integration/page -- sh -c 'cd api/web && LOOKS=$(LOOKS) npx playwright test $(ARGS)'

.PHONY: pictures
pictures: ## every view of the page in .bin/page/pictures: both widths, looks and languages; VIEWS=graph
	$(MAKE) check-page ARGS=pictures LOOKS=

api/web/node_modules: api/web/package-lock.json
	mkdir -p $(TOOLS)
	cd api/web && npm ci --ignore-scripts
	touch $@

.PHONY: generate
generate: ## make the code of the protocol and of the API again (needs protoc)
	GOBIN=$(TOOLS) $(GO) install google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc
	$(GO) generate ./...

.PHONY: docs
docs: ## make the reference page and the man pages from the commands
	$(GO) run ./ops/docs -reference api/cli/REFERENCE.md -man $(DIST)/man

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

RUNS ?= 10000000

.PHONY: ten-million
ten-million: ## so many instances run under faults, in the simulation; goes on where it was ended; RUNS=100000
	mkdir -p figures
	$(GO) test -timeout 0 ./integration/sim -run ByTheMillion -v -sim.runs $(RUNS) -sim.ledger $(CURDIR)/figures/simulation.json -sim.commit "$$(git describe --always --dirty)"

# Histories of clients and processes, judged by models; `make histories SEEDS=100000 ROUNDS=100` for longer.
ROUNDS ?= 10

.PHONY: histories
histories: ## what clients saw of simulated fleets, of real ones and of cut networks, against models
	$(GO) test -timeout 0 -v -run 'Simulated' ./integration/history -history.seeds $(SEEDS)
	$(GO) test -timeout 0 -v -run 'HistoriesOf' ./integration/history -history.rounds $(ROUNDS)

.PHONY: mutations
mutations: ## take out one guard at a time and want the test that is there for it to fail; ONLY=regexp
	GO="$(GO)" $(GO) run ./integration/mutations -o integration/mutations/MUTATIONS.md $(if $(ONLY),-only '$(ONLY)')

# How often the leader is killed, paused and cut off; the other faults a tenth of the kills.
KILLS      ?= 100
PAUSES     ?= 50
PARTITIONS ?= 50

.PHONY: drill
drill: linked ## kill, pause and cut off leaders of real fleets again and again, and judge what became of the work; the report is in figures/
	mkdir -p figures
	$(LINKED)/backfleet drill leader-kill --times $(KILLS) --report figures/drill.md
	$(LINKED)/backfleet drill leader-pause --times $(PAUSES) --report figures/drill.md
	$(LINKED)/backfleet drill partition --times $(PARTITIONS) --report figures/drill.md
	for each in disk-full disk-slow agent-loss rolling-restart clock-jump; do \
		$(LINKED)/backfleet drill $$each --times $$(( $(KILLS) / 10 + 1 )) --report figures/drill.md || exit 1; done

# Losses of leaders and agents in tests, again and again; `make drill-tests TIMES=20` for longer.
TIMES ?= 3

.PHONY: drill-tests
drill-tests: ## the tests that kill, freeze, cut off and fill up real processes, again and again
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
	GO="$(GO)" nice ops/deploy/check.sh $(TOOLS)

.PHONY: check-observe
check-observe: ## alerts, each seen to fire and not to, and every expression of the dashboards (needs promtool and Python)
	ops/observe/check.sh

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
