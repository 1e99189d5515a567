# Everything a newcomer types. Each target sets up what it needs on Debian with Go installed.
SHELL := /bin/bash
GO ?= go
ONLY ?= .
DURATION ?= 1h
PURCHASES ?= 10000
BUDGET ?= unlimited
MONEY_RESULTS ?= $(CURDIR)/docs/results/money.tsv

SIM_SEED ?= $(shell date +%s)000000

comma := ,
SCALE ?= 0.2
PROFILES ?= B1,B2,B3,B4,B5,B6

.PHONY: demo test build check bench sim sim-bugs kafka test-kafka chaos money bots rehearse kill-test docs clean

demo: ## a whole on-sale on this machine, until Ctrl-C
	@scripts/setup.sh demo
	@$(GO) build -o bin/fairgate ./cmd/fairgate
	@exec bin/fairgate demo --data .data

test: ## every test, against real Postgres, Redis and a real browser
	@scripts/setup.sh demo test
	$(GO) test -timeout 20m ./...

build:
	$(GO) build -o bin/fairgate ./cmd/fairgate

check: ## what CI checks besides the tests
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "not gofmt-clean:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...

rehearse: build ## a whole sale in two minutes, verified; prints one JSON object
	@scripts/setup.sh demo
	bin/fairgate demo --rehearse 2000 --json

kafka: ## three Apache Kafka brokers on loopback
	@scripts/setup.sh kafka
	@scripts/kafka.sh fetch
	@scripts/kafka.sh start 3 .tools/kafka-run

test-kafka: ## what needs Apache Kafka: real brokers, processors and Postgres, killed and frozen; KILLS=n, CAMPAIGN=40s
	@scripts/setup.sh demo test kafka
	@scripts/test-kafka.sh suite

chaos: ## a long campaign of kills on three brokers; DURATION=1h; appends to docs/results/chaos.tsv
	@scripts/setup.sh demo kafka
	@scripts/test-kafka.sh chaos $(DURATION)

money: ## purchases while all that money passes through is killed; PURCHASES=10000 BUDGET=unlimited, live or sandbox; appends to docs/results/money.tsv
	@scripts/setup.sh demo test
	FAIRGATE_TEST_MONEY=$(PURCHASES) FAIRGATE_TEST_MONEY_BUDGET=$(BUDGET) FAIRGATE_TEST_MONEY_RESULTS=$(MONEY_RESULTS) \
		$(GO) test -v -count=1 -timeout 3h -run TestMoneyChaos ./cmd/fairgate

bots: build ## who gets the tickets, people or bots of six kinds; SCALE=0.2, PROFILES=B1,B2, RESUME=1 goes on; docs/results/bots.tsv, docs/bots.svg
	@scripts/setup.sh demo
	@mkdir -p docs/results
	@set -e; for p in $(subst $(comma), ,$(PROFILES)); do for o in draw fcfs; do \
		bin/fairgate load bots --profile $$p --order $$o --scale $(SCALE) --commit "$$(git rev-parse --short HEAD)" \
			--results docs/results/bots.tsv --plot docs/bots.svg $(if $(RESUME),--resume); done; done

kill-test: build ## SIGKILL the stack twenty times in one rehearsal
	@scripts/setup.sh demo
	FAIRGATE_TEST_KILL=20 $(GO) test -v -count=1 -timeout 20m -run TestKill ./cmd/fairgate

sim: ## simulated worlds for DURATION, on all cores; appends to docs/results/simulation.tsv
	@mkdir -p docs/results
	GOGC=400 $(GO) run ./internal/simulation/campaign -duration $(DURATION) -seed $(SIM_SEED) -heavy-every 40 \
		-commit "$$(git rev-parse --short HEAD)" -results docs/results/simulation.tsv

sim-bugs: ## every deliberate bug beside the simulation is found by it
	FAIRGATE_TEST_BUGS=1 $(GO) test -count=1 -timeout 15m -parallel 2 -run TestBugs ./internal/simulation

bench: ## benchmarks as lines "bench NAME VALUE UNIT" and "ratio NAME VALUE"; ONLY=prefix runs some
	@ONLY='$(ONLY)' scripts/bench.sh

docs: build ## the pages that are generated
	bin/fairgate check-config --reference >docs/configuration.md

clean:
	rm -rf bin .data screenshots
