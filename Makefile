# `make run` and `make test` need Go and make, and nothing else. `make help` lists the targets.

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
COMMIT  ?= $(shell git rev-parse --short HEAD 2>/dev/null)
BUILT   ?= $(shell date -u +%Y-%m-%dT%H:%M:%SZ)
LDFLAGS  = -X main.version=$(VERSION) -X main.commit=$(COMMIT) -X main.built=$(BUILT)
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2

.DEFAULT_GOAL := help
.PHONY: help build run test check hooks race lint openapi-lint js-test browser clients fuzz \
	bench bench-quick bench-watch bench-report watchcheck linearizable adversary full clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | \
		awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

build: ## Build bin/gateway
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/gateway ./cmd/gateway

run: build ## Start the gateway on an embedded NATS, with the flags in ARGS="--flag …"
	@bin/gateway serve $(ARGS)

test: ## Run the Go tests
	$(GO) test ./...

check: lint ## Lint, quick tests, OpenAPI lint, JS tests: run it before each commit
	$(GO) test -short ./...
	$(MAKE) openapi-lint js-test

hooks: ## Install a pre-commit hook that runs the quick part of `make check`
	install -m 755 test/pre-commit "$$(git rev-parse --git-path hooks)/pre-commit"

race: ## Run the Go tests under the race detector (needs a C compiler)
	$(GO) test -race ./...

lint: ## Check formatting, vet, staticcheck, and that every mutation can still be made
	@wrong=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$wrong" || \
		{ echo "run gofmt -w on these: $$wrong"; exit 1; }
	$(GO) vet ./...
	cd test/checkers && $(GO) vet ./...
	test/checkers/mutations -n
	$(GO) run $(STATICCHECK) ./...

openapi-lint: ## Lint api/openapi.yaml (needs Node.js)
	cd test/openapi && npm ci --silent --no-audit --no-fund && npm run --silent lint

js-test: ## Test the browser module against a scripted gateway (needs Node.js)
	node --test --test-timeout=30000 clients/js/test/*.test.js

browser: build ## Test the live dashboard and other clients of streams (needs Node.js, Chromium)
	$(GO) build -trimpath -o bin/live-dashboard ./examples/live-dashboard
	cd test/browser && npm ci --silent --no-audit --no-fund && npm run --silent types && \
		npm test --silent

clients: build ## Test the generated Go and TypeScript clients (needs Node.js)
	test/clients/run

fuzz: ## Run every fuzz target for FUZZTIME each (default 30s)
	test/fuzz $(or $(FUZZTIME),30s)

bench: build ## Measure it beside a bare handler and raw NATS, then many keys (ten minutes)
	$(GO) run ./bench
	$(GO) run ./bench many

bench-quick: build ## Measure the same in a minute and a half, less exactly
	$(GO) run ./bench -quick

bench-watch: build ## Measure streams beside net/http and, if installed, nginx with nchan (30 min)
	$(GO) run ./bench watch

bench-report: ## Make the tables and plots of bench/README.md from the files in bench/results
	$(GO) run ./bench report

WATCHCHECK_TIME ?= 10m

watchcheck: build ## Check what watchers are told under faults for WATCHCHECK_TIME (default 10m)
	cd test/checkers && $(GO) test ./harness/... ./watchcheck/... && \
		$(GO) build -o ../../bin/watchcheck ./watchcheck
	bin/watchcheck -gateway bin/gateway -duration $(WATCHCHECK_TIME) $(WATCHCHECK_ARGS)

LINEARIZABLE_TIME ?= 2m

linearizable: build ## Check that one order explains all answers for LINEARIZABLE_TIME (default 2m)
	cd test/checkers && $(GO) test ./harness/... ./linearizable/... && \
		$(GO) build -o ../../bin/linearizable ./linearizable
	bin/linearizable -gateway bin/gateway -duration $(LINEARIZABLE_TIME) $(LINEARIZABLE_ARGS)

ADVERSARY_TIME ?= 10m
ADVERSARY_ARGS ?= -same-address all

adversary: build ## Check an innocent client beside attacks for ADVERSARY_TIME (default 10m)
	cd test/checkers && $(GO) test ./harness/... ./adversary/... && \
		$(GO) build -o ../../bin/adversary ./adversary
	bin/adversary -gateway bin/gateway -duration $(ADVERSARY_TIME) $(ADVERSARY_ARGS)

FULL_INTERLEAVINGS ?= 40000
FULL_FUZZTIME ?= 30s

full: ## Run what is too long for the gate: checkers, interleavings, fuzzing (an hour)
	@echo '== watchcheck: 10 minutes with loops, then 5 minutes with a goroutine for each stream'
	$(MAKE) watchcheck WATCHCHECK_TIME=10m
	KVGW_STREAM_LOOPS=0 $(MAKE) watchcheck WATCHCHECK_TIME=5m
	@echo '== adversary for 10 minutes, from both addresses, with twice the times (docs/found.md)'
	$(MAKE) adversary ADVERSARY_TIME=10m ADVERSARY_ARGS='-same-address all -slack 2'
	@echo '== linearizable for 2 minutes'
	$(MAKE) linearizable LINEARIZABLE_TIME=2m
	@echo '== $(FULL_INTERLEAVINGS) interleavings of what a feed decides'
	$(GO) test ./internal/feed -run TestInterleavings -timeout 30m \
		-interleavings $(FULL_INTERLEAVINGS)
	@echo '== every fuzz target for $(FULL_FUZZTIME)'
	$(MAKE) fuzz FUZZTIME=$(FULL_FUZZTIME)

clean: ## Remove what was built
	rm -rf bin
