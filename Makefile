# `make run` and `make test` need Go and make, and nothing else. `make help` lists the targets.

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
COMMIT  ?= $(shell git rev-parse --short HEAD 2>/dev/null)
BUILT   ?= $(shell date -u +%Y-%m-%dT%H:%M:%SZ)
TRIMPATH ?= -trimpath
LDFLAGS  = -X main.version=$(VERSION) -X main.commit=$(COMMIT) -X main.built=$(BUILT)
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
OPENAPI_MODULES = test/openapi/node_modules/.package-lock.json
GOSEC       = github.com/securego/gosec/v2/cmd/gosec@v2.30.0

.DEFAULT_GOAL := help
.PHONY: help build run test check quick-vet quick-test format vet staticcheck mutations hooks \
	race lint gosec vulncheck openapi-lint js-test js-build js-setup console-build browser \
	pictures streams streams-all proxies streams-setup clients clients-all schemathesis fuzz bench \
	bench-quick bench-watch bench-report watchcheck linearizable adversary full clean \
	cross release cluster deploy-test native native-all permissions

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | \
		awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

build: ## Build bin/gateway
	$(GO) build $(TRIMPATH) -ldflags '$(LDFLAGS)' -o bin/gateway ./cmd/gateway

cross: ## Check that the gateway compiles for the other systems of a release
	CGO_ENABLED=0 GOOS=windows GOARCH=amd64 $(GO) build ./cmd/... ./deploy/...
	CGO_ENABLED=0 GOOS=darwin GOARCH=arm64 $(GO) build ./cmd/... ./deploy/...

release: ## Make the archives of a release and their checksums in dist/
	$(GO) run ./deploy/release -version '$(VERSION)' -o dist

NATS_SERVER = github.com/nats-io/nats-server/v2

cluster: build ## Start three nats-servers, two gateways and nginx on loopback (CLUSTER_ARGS)
	$(GO) build -trimpath -o bin/nats-server $(NATS_SERVER)
	$(GO) build -trimpath -o bin/cluster ./deploy/cluster
	bin/cluster $(CLUSTER_ARGS)

deploy-test: ## Check the files of deploy/ with the code of the tools that read them
	cd test/deploy && $(GO) test -count=1 -vet=off $(DEPLOY_TEST_ARGS) .

run: build ## Start the gateway on an embedded NATS, with the flags in ARGS="--flag …"
	@bin/gateway serve $(ARGS)

test: ## Run the Go tests
	$(GO) test ./...

# The go commands do not wait for what another one compiles, so that two that begin at once do
# the same work twice, and with other flags they compile everything anew. Therefore vet, which
# compiles everything, comes first; the tests, which are vetted then, and all else come after it.
# npm comes before, since it removes what go list may be reading. With GOGC, which the go tools
# obey, memory is spent to save a tenth of the compiler's time and half of that of staticcheck.
check: export GOGC = 200
check: export TRIMPATH =
check: $(OPENAPI_MODULES) js-setup ## Lint and test quickly: run it before each commit
	@$(MAKE) --no-print-directory -j2 quick-vet format mutations openapi-lint
	@$(MAKE) --no-print-directory -j3 quick-test staticcheck js-test

quick-vet:
	$(GO) vet ./...

# The tests of bench, deploy and examples cost more to link than they find.
quick-test:
	$(GO) test -short -vet=off -p 4 -parallel 8 ./api/... ./cmd/... ./internal/... ./test/e2e

hooks: ## Install a pre-commit hook that runs the quick part of `make check`
	install -m 755 test/pre-commit "$$(git rev-parse --git-path hooks)/pre-commit"

race: ## Run the Go tests under the race detector (needs a C compiler)
	$(GO) test -race ./...

lint: format vet mutations staticcheck cross ## Check format, vet, staticcheck, and other systems

format:
	@wrong=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$wrong" || \
		{ echo "run gofmt -w on these: $$wrong"; exit 1; }

vet: quick-vet
	cd test/checkers && $(GO) vet ./...
	cd test/native && $(GO) vet ./...

mutations:
	test/checkers/mutations -n

staticcheck:
	$(GO) run $(STATICCHECK) ./...

# What is of low severity or confidence is left out: an ignored error of Close (G104), the little
# unsafe that there is (G103), and words such as "token" in a text (G101). Every other exception is
# explained where it is made: "#nosec G304 -- why".
gosec: ## Look for insecure code in what the gateway is built of
	$(GO) run $(GOSEC) -quiet -severity medium -confidence medium -exclude-generated \
		-exclude-dir=internal/natstest -exclude-dir=internal/archtest \
		-exclude-dir=internal/feed/feedtest ./api/... ./cmd/... ./internal/...

vulncheck: ## Look for known vulnerabilities, where their database can be reached
	@test/vulncheck

openapi-lint: $(OPENAPI_MODULES) ## Lint api/openapi.yaml (needs Node.js)
	cd test/openapi && npm run --silent lint

# npm writes this file when it has installed everything.
$(OPENAPI_MODULES): test/openapi/package-lock.json
	cd test/openapi && npm ci --silent --no-audit --no-fund
	touch $@

js-test: build js-setup ## Test the JavaScript client and that all is built (needs Node.js)
	cd internal/console && npm run --silent check
	cd clients/js && npm run --silent check && npm run --silent types && npm test --silent

js-build: js-setup ## Build the JavaScript client, of which clients/js/dist is committed
	cd clients/js && npm run --silent build

js-setup: clients/js/node_modules internal/console/node_modules

console-build: js-setup ## Build the web console, of which internal/console/dist is committed
	cd internal/console && npm run --silent build

clients/js/node_modules: clients/js/package-lock.json
	cd clients/js && npm ci --silent --no-audit --no-fund
	touch $@

internal/console/node_modules: internal/console/package-lock.json
	cd internal/console && npm ci --silent --no-audit --no-fund
	touch $@

browser: build ## Test dashboard, documentation and clients of streams (needs Node.js, Chromium)
	$(GO) build -trimpath -o bin/live-dashboard ./examples/live-dashboard
	$(GO) build -trimpath -o bin/nats-server $(NATS_SERVER)
	cd test/browser && npm ci --silent --no-audit --no-fund && DOCS='$(DOCS)' npm test --silent

pictures: build ## Make the pictures of README.md in docs/images (needs Node.js, Chromium)
	cd test/browser && npm ci --silent --no-audit --no-fund && node pictures.js

streams: build streams-setup ## Test four libraries for streams (needs Node.js, Chromium, nginx)
	cd test/streams && PROXIES=nginx npm run gate --silent

streams-all: build streams-setup test/streams/.venv ## Test all libraries (needs Python, too)
	cd test/streams && npm run all --silent

proxies: build streams-setup test/streams/.venv ## Test all proxies (needs HAProxy, too)
	cd test/streams && npm run proxies --silent

streams-setup:
	cd test/streams && npm ci --silent --no-audit --no-fund
	cd test/streams/go && $(GO) build -trimpath -o ../../../bin/streams-go .

test/streams/.venv: test/streams/requirements.txt
	python3 -m venv $@
	$@/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

clients: build ## Test clients generated for Go, TypeScript, Python (needs Node.js, Java, Python)
	test/clients/run

clients-all: build ## Test these and those for Java and Rust, too (needs Maven and Cargo as well)
	test/clients/run all

schemathesis: build ## Check the gateway against the contract with schemathesis (needs Python)
	test/schemathesis/run

native: build ## Test that Go, JavaScript and Python clients share buckets (needs Node.js, Python)
	test/native/run

native-all: build ## The same in Java, C, Rust and .NET as well (needs Maven, libnats-dev, cargo)
	test/native/run all

permissions: ## Test the NATS permissions that the gateway needs, with nats-server 2.14 and 2.15
	KVGW_PERMISSIONS=1 $(GO) test -count=1 ./test/permissions

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

full: ## Run what is too long for the gate: checkers, libraries, proxies, fuzzing (an hour)
	@echo '== permissions in NATS, with two releases of it'
	$(MAKE) permissions
	@echo '== native clients in every language'
	$(MAKE) native-all
	@echo '== watchcheck: 10 minutes with loops, then 5 minutes with a goroutine for each stream'
	$(MAKE) watchcheck WATCHCHECK_TIME=10m
	KVGW_STREAM_LOOPS=0 $(MAKE) watchcheck WATCHCHECK_TIME=5m
	@echo '== adversary for 10 minutes, from both addresses, with twice the times (docs/found.md)'
	$(MAKE) adversary ADVERSARY_TIME=10m ADVERSARY_ARGS='-same-address all -slack 2'
	@echo '== 10,000 connections of one client beside another, and 10,000 streams'
	KVGW_FLOOD=10000 KVGW_MEASURE=1 $(GO) test ./test/e2e -count=1 -run 'Flood|ManyStreams'
	@echo '== linearizable for 2 minutes'
	$(MAKE) linearizable LINEARIZABLE_TIME=2m
	@echo '== every page of the documentation in each size and theme'
	$(MAKE) browser DOCS=all
	@echo '== all libraries for streams, and all proxies'
	$(MAKE) streams-all proxies
	@echo '== $(FULL_INTERLEAVINGS) interleavings of what a feed decides'
	$(GO) test ./internal/feed -run TestInterleavings -timeout 30m \
		-interleavings $(FULL_INTERLEAVINGS)
	@echo '== every generated client'
	$(MAKE) clients-all
	@echo '== schemathesis'
	$(MAKE) schemathesis
	@echo '== the files of deploy/, the Dockerfile included'
	$(MAKE) deploy-test DEPLOY_TEST_ARGS='-tags full -vet=all'
	@echo '== the archives of a release'
	$(MAKE) release
	@echo '== every fuzz target for $(FULL_FUZZTIME)'
	$(MAKE) fuzz FUZZTIME=$(FULL_FUZZTIME)

clean: ## Remove what was built
	rm -rf bin dist
