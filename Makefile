# make test is the one command: everything below, on Debian 12 with Go.
# All that is made lies under build/.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build
.PHONY: bench bench-go build test check check-lint check-unit check-e2e lint unit unit-mainproc unit-counts e2e e2e-25 e2e-25-user e2e-27 e2e-29 fuzz chaos demo demo-fleet deps clean FORCE
.PHONY: scale-fleet
.PHONY: install uninstall deb tutorial fresh screenshots
.PHONY: erlang erlang-lint erlang-25 erlang-25-user erlang-27 erlang-29
.PHONY: elixir elixir-lint elixir-25 elixir-25-user elixir-27 elixir-29

TOOL := go tool -modfile=test/tools/go.mod
VERSION := $(shell git describe --always --dirty 2>/dev/null || echo unknown)
FUZZTIME ?= 10s
CHAOSTIME ?= 30m
BENCH_COUNT ?= 10
SHARE ?= 100
# The parts of e2e-25, each a suite: test/suites_test.go says which test is in which.
PARTS := 1 2 3
E2E_25 := $(PARTS:%=e2e-25-%)
.PHONY: $(E2E_25)

# In the order in which they begin, the longest first; so many run beside each other.
# Most of a suite is waiting, and each has a user of its own (test/deps makes them), as the
# kernel counts processes and pages of pipes by user.
SUITES := $(E2E_25) unit e2e-25-user unit-counts unit-mainproc e2e-27 e2e-29 \
	elixir-25 erlang-25 erlang-27 erlang-29 elixir-27 elixir-29 elixir-25-user erlang-25-user
LANES ?= 4

# The jobs of one make are of no concern to a make that a test runs.
unexport MAKEFLAGS

# Static, so that it runs wherever it is copied. The version control stamp is made
# here: go's own fails when the tree belongs to another user.
GOBUILD := CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-X main.revision=$(VERSION)'

build: build/erluv

build/erluv: FORCE
	@$(GOBUILD) -o $@ ./cmd/erluv

build/tally: FORCE
	@$(GOBUILD) -o $@ ./test/tally

# Every suite runs, whatever the others give; the last line counts all of them. What a
# suite prints comes in one piece when it ends.
test: deps build lint erlang-lint elixir-lint build/tally
	@rm -rf build/results; failed=0; begin=$$SECONDS; \
	$(MAKE) --no-print-directory -k -j$(LANES) --output-sync=target $(SUITES) || failed=1; \
	echo "all suites took $$((SECONDS - begin)) s, $(LANES) at a time"; \
	build/tally sum build/results $(SUITES) || failed=1; \
	exit $$failed

# The fast gate, for between two commits: linters of what changed, the tests of Go packages
# that changed, without -race, and the end-to-end tests with the directive check.
check: deps build build/tally
	@rm -rf build/results; failed=0; begin=$$SECONDS; \
	$(MAKE) --no-print-directory -k -j2 --output-sync=target check-e2e check-unit check-lint || failed=1; \
	echo "the check took $$((SECONDS - begin)) s"; \
	build/tally sum build/results check-e2e check-unit || failed=1; \
	exit $$failed

check-lint: lint
	@for lib in erlang elixir; do \
		git diff --quiet HEAD^ -- $$lib || $(MAKE) --no-print-directory $$lib-lint; \
	done

check-unit: deps build build/tally
	@packages=$$(test/changed) && ERLUV_BIN=$(CURDIR)/build/erluv build/tally run build/results/$@ \
		go test -timeout 60m -json $$packages

check-e2e: deps build build/tally
	$(call suite,$@,ERLUV_TEST_AS=root ERLUV_TEST_ONLY=check,$$(command -v erl))

lint: deps
	@unformatted=$$($(TOOL) gofumpt -l $$(find . -name '*.go' -not -path './build/*')); \
	if [ -n "$$unformatted" ]; then echo "gofumpt -l -w" $$unformatted >&2; exit 1; fi
	@go vet ./...
	@GOARCH=riscv64 CGO_ENABLED=0 go build ./sandbox ./spawner # *_other.go
	@$(TOOL) staticcheck ./...
	@unreachable=$$($(TOOL) deadcode -test ./...); \
	if [ -n "$$unreachable" ]; then echo "$$unreachable" >&2; exit 1; fi
	@for page in man/*; do mandoc -T lint -W warning "$$page"; done

unit: deps build build/tally
	@ERLUV_BIN=$(CURDIR)/build/erluv build/tally run build/results/unit \
		go test -race -timeout 60m -json $$(go list ./... | grep -v -e '/test$$' -e '/mainproc')

# Tests that repeat themselves thousands of times, in full: in unit, with -race, they do
# a tenth of it. gate_test.go holds that this list is complete.
COUNTED := TestSchedules TestEPIPEAtARandomByte TestNoDescriptorOfOurs TestOutputIsComplete

unit-counts: deps build/tally
	@build/tally run build/results/unit-counts go test -timeout 60m -json \
		-run "^($$(echo $(COUNTED) | tr ' ' '|'))$$" ./childproc ./workers

# The tests of mainproc and its rooms, which must reach 95 % of their statements together.
unit-mainproc: deps build build/tally
	@build/tally run build/results/unit-mainproc build/mainproc.cover=95 go test -race -timeout 60m -json \
		-coverpkg ./mainproc/... -coverprofile build/mainproc.cover ./mainproc/...

e2e: e2e-25 e2e-25-user e2e-27 e2e-29

# $(call suite,NAME,VARIABLES,ERL,FLAGS)
suite = @ERLUV_BIN=$(CURDIR)/build/erluv ERLUV_ERL=$(3) $(2) \
	build/tally run build/results/$(1) go test -json -count=1 -timeout 80m $(4) ./test

e2e-25: $(E2E_25)

e2e-25-2: of := erluv-test-9
e2e-25-3: of := erluv-test-10
$(E2E_25): e2e-25-%: deps build build/tally
	$(call suite,$@,ERLUV_TEST_AS=root ERLUV_TEST_USER=$(of) ERLUV_TEST_PART=$*/$(words $(PARTS)),$$(command -v erl),-race)

# What differs for an ordinary user, and between releases: see test/suites_test.go.
e2e-25-user: deps build build/tally
	$(call suite,$@,ERLUV_TEST_AS=user ERLUV_TEST_USER=erluv-test-1 ERLUV_TEST_ONLY=users,$$(command -v erl))

e2e-27: of := erluv-test-2
e2e-29: of := erluv-test-3
e2e-27 e2e-29: e2e-%: deps build build/tally
	@test/get-otp $*
	$(call suite,$@,ERLUV_TEST_AS=root ERLUV_TEST_USER=$(of) ERLUV_TEST_ONLY=releases,$(CURDIR)/build/otp/$*/bin/erl)

# The Erlang library: what it is checked by, and its tests on each release.
erlang: erlang-lint erlang-25

erlang-lint: deps
	@erlang/lint $$(command -v erl) build/erlang

# $(call erlang-suite,NAME,ERL,USER)
erlang-suite = @ERLUV_BIN=$(CURDIR)/build/erluv build/tally run build/results/$(1) erlang/run-tests $(2) $(3)
elixir-25: export ERLUV_USER := erluv-test-11
erlang-25: export ERLUV_USER := erluv-test-4
erlang-27: export ERLUV_USER := erluv-test-12
erlang-29: export ERLUV_USER := erluv-test-13

erlang-25: deps build build/tally
	$(call erlang-suite,$@,$$(command -v erl))

# How erluv is started and found differs for an ordinary user; the rest does not.
erlang-25-user: export MODULES := erluv_node_tests erluv_tests
erlang-25-user: deps build build/tally
	$(call erlang-suite,$@,$$(command -v erl),erluv-test-5)

erlang-27 erlang-29: erlang-%: deps build build/tally
	@test/get-otp $*
	$(call erlang-suite,$@,$(CURDIR)/build/otp/$*/bin/erl)

# The Mix package, on Elixir 1.14 and OTP 25, which are installed, and on later ones.
elixir: elixir-lint elixir-25

elixir-lint: deps
	@elixir/lint build/elixir

# $(call elixir-suite,NAME,USER)
elixir-suite = @ERLUV_BIN=$(CURDIR)/build/erluv build/tally run build/results/$(1) elixir/run-tests $(2)

elixir-25: deps build build/tally
	$(call elixir-suite,$@)

elixir-27: export ERLUV_USER := erluv-test-7
elixir-29: export ERLUV_USER := erluv-test-8
elixir-27 elixir-29: export OTP = $(CURDIR)/build/otp/$(@:elixir-%=%)
elixir-27 elixir-29: elixir-%: deps build build/tally
	@test/get-otp $*
	$(call elixir-suite,$@)

elixir-25-user: export TESTS := test/erluv_test.exs test/cmd_test.exs test/sandbox_test.exs
elixir-25-user: deps build build/tally
	$(call elixir-suite,$@,erluv-test-6)

# How fast it is beside open_port on the same node: some eight minutes, as root. What is
# printed is in build/bench.md too. BENCH="-rounds 3 a e" runs three rounds of two
# workloads. BEFORE=FILE is another executable of erluv that takes turns with this one.
bench: deps build
	@go run ./test/bench -o build/bench.md -benchstat build/bench.txt $(if $(PEERS),-peers "$(PEERS)") $(if $(BEFORE),-before "$(BEFORE)") $(BENCH)

# What doc/fleet.md says of many hosts: a minute. HOSTS=10000 takes ten times the descriptors.
HOSTS ?= 1000
PROGRAMS ?= 10000

scale-fleet: deps build
	@ERLUV_BIN=$(CURDIR)/build/erluv go test ./test -count=1 -v -timeout 1h -run '^TestFleetOfManyHosts$$' \
		-hosts $(HOSTS) -programs $(PROGRAMS)

# What a frame, a term and a record cost, as benchstat reads it: some ten minutes.
bench-go:
	@go test -run '^$$' -bench . -count $(BENCH_COUNT) -timeout 1h ./wire/etf ./wire/dist ./ipc ./ipc/journal
	@go test -run '^$$' -bench Large -benchtime 1x -count $(BENCH_COUNT) -timeout 1h ./childproc

# A short run of every fuzz target; unit runs their corpora as tests.
fuzz:
	@for package in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$package; \
		done; \
	done

# What doc/reliability.md is about, hours of it: SHARE is the percentage of the full
# counts, CHAOSTIME what each decoder is fuzzed for. What the fuzzing finds is kept.
DECODERS := ipc/FuzzDecode ipc/FuzzReadObserver ipc/journal/FuzzJournal \
	mainproc/link/FuzzRecall mainproc/link/FuzzFarewell mainproc/link/FuzzInterim

chaos: deps build
	@ERLUV_BIN=$(CURDIR)/build/erluv go test ./test -count=1 -v -timeout 24h -run '^TestChaos' -chaos -share $(SHARE)
	@go test ./mainproc/link -count=1 -v -timeout 24h -run '^TestTorn' -kills $$((1600 * $(SHARE) / 100))
	@for target in $(DECODERS); do \
		go test ./$${target%/*} -run '^$$' -fuzz "^$${target##*/}$$" -fuzztime $(CHAOSTIME) -timeout 24h \
			-args -test.fuzzcachedir=testdata/fuzz; \
	done

# make install DESTDIR=... PREFIX=/usr: packaging/install has the rest of it.
export DESTDIR PREFIX SYSCONFDIR UNITDIR INITDIR ERLC

install: build
	@packaging/install

uninstall:
	@packaging/install --remove

deb: build
	@packaging/deb

# The first hour of an Elixir user, on a fresh Debian 12, as root.
fresh: deps
	@test/fresh

# doc/tutorial.md, typed on a fresh Debian 12, as root; unit types it on this machine.
tutorial: deps deb
	@CGO_ENABLED=0 go test -c -o build/tutorial.test ./test/tutorial
	@test/clean build/erluv_*.deb build/tutorial.test

# The pages of erluv web, at two widths, light and dark, in build/screenshots.
screenshots: deps build
	@ERLUV_BIN=$(CURDIR)/build/erluv ERLUV_TEST_AS=root go test ./test -run '^TestWeb(Page|Fleet)$$' -count=1

demo:
	@test/deps demo
	@echo "demo: building erluv"
	@$(MAKE) --no-print-directory build
	@test/demo/run

# Three control nodes and ten hosts in network namespaces, as root: half a minute.
demo-fleet:
	@[ "$$(id -u)" -eq 0 ] || { echo "demo-fleet: run it as root: it makes network namespaces and cables between them" >&2; exit 1; }
	@test/deps demo-fleet
	@echo "demo-fleet: building erluv"
	@$(MAKE) --no-print-directory build
	@go build -o build/demo-fleet ./test/demo/fleet
	@exec build/demo-fleet

deps:
	@test/deps

clean:
	rm -rf build
