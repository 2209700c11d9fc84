# README.md explains the targets. They need Go. `run` and `test` also need Python 3 with
# pip, because Envoy comes from a PyPI package. `test` also needs a C compiler for the race
# detector, npm for axe-core, an OpenID provider and a client, and curl, nginx, HAProxy, Redis,
# Postgres, Prometheus, buildah and Chromium, which it installs if it may.

# The linters are tools of a separate module, because its go.sum is several times as long as
# Keyward's. actionlint does not compile with the YAML library that golangci-lint needs.
TOOL       = go tool -modfile='$(CURDIR)/tools/go.mod'
ACTIONLINT = github.com/rhysd/actionlint/cmd/actionlint@v1.7.12

VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
IMAGE    ?= keyward
FUZZTIME ?= 60s

# deploy/validate is a separate module and compiles much of Kubernetes. Without optimisation
# that takes half as long. vet needs the same flags to find the compiled packages.
VALIDATE  = cd deploy/validate && go
QUICKLY   = -gcflags='all=-N -l' -gcflags='std='
SHELL     = bash

.PHONY: build module image run test programs lint prove fuzz bench soak pgo screenshots
.DEFAULT_GOAL = build

build:
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/keyward ./cmd/keyward

# The checks as a filter inside Envoy (docs/envoy-module.md): a separate module, since only it
# needs cgo.
module:
	cd envoymodule && CGO_ENABLED=1 go build -buildmode=c-shared -trimpath -pgo=$(CURDIR)/cmd/keyward/default.pgo -ldflags '-s -w -X main.version=$(VERSION)' -o ../bin/libkeyward.so .
	@rm bin/libkeyward.h

# IMAGE is the name in your registry: IMAGE=registry.example.com/keyward. SOURCE_URL is
# where the source is published, for a label: SOURCE_URL=https://example.com/keyward.
image:
	@cd deploy/image && go run . -version '$(VERSION)' -name '$(IMAGE)' -url '$(SOURCE_URL)' -out '$(CURDIR)/bin/image'

# exec makes a signal to make reach the program that must stop the others.
run: build $(filter module,$(PROXY))
	@go build -o .cache/demo ./e2e/demo
	@exec .cache/demo

# Programs that the tests run are installed if possible. Prometheus is only unpacked,
# because its package would start a server.
PROGRAMS   = curl nginx haproxy redis-server buildah pgbouncer chromium
PROMETHEUS = .cache/prometheus
NPM        = axe-core@4.14.1 oidc-provider@9.13.3 openid-client@6.9.0

# The tests with the real programs run alone, because Envoy gives Keyward only a quarter of
# a second to answer. They run each time, because go test does not know that they depend on
# these programs. What is managed is tested on files and on a database; on the database
# without the race detector, since the code above the stores has run under it on files, and
# store/postgres has too. Tests of allocations and memory also run without it, with the
# compiler flags of a release: with these, what e2e compiles serves all three. The image and
# the manifests are separate modules. The code that makes the image has one goroutine, and
# packs five times as slowly under the race detector.
#
# A program with the race detector waits a second before it ends, and the tests start many.
# go test starts packages in the order given, so the slowest come first. `make lint` vets.
RACE    = GORACE='atexit_sleep_ms=20' CGO_ENABLED=1 go test -race -vet=off
RELEASED = CGO_ENABLED=0 go test -trimpath -vet=off
SLOWEST = keyward/cmd/keyward keyward/server keyward/manage
E2E     = keyward/e2e keyward/e2e/console keyward/e2e/oauthclients keyward/e2e/oidclogin keyward/e2e/postgres

test: programs
	$(RACE) $(SLOWEST) $$(go list ./... | grep -v -x $(E2E:%=-e %) $(SLOWEST:%=-e %))
	KEYWARD_TEST_STORE=postgres $(RELEASED) -pgo=$(CURDIR)/cmd/keyward/default.pgo -count=1 ./manage ./manage/oauth ./server
	$(VALIDATE) test -count=1 -vet=off $(QUICKLY) -ldflags='-s -w' ./...
	cd envoymodule && $(RACE) ./...
	$(RACE) -p 1 -count=1 -timeout 50m $(E2E)
	$(RELEASED) -pgo=$(CURDIR)/cmd/keyward/default.pgo -run 'MemoryPerKey$$|^TestMillion$$|Allocations|^TestImportOfManyKeys$$' ./store/filestore ./authz ./extauthz ./engine ./ratelimit ./server
	cd deploy/image && go test -count=1 ./...

programs:
	@command -v "$$(go env CC)" >/dev/null || { echo 'make test: the race detector needs a C compiler (Debian, Ubuntu: apt-get install gcc libc6-dev)' >&2; exit 1; }
	@missing=; for program in $(PROGRAMS); do PATH="$$PATH:/usr/sbin" command -v $$program >/dev/null || missing="$$missing $$program"; done; \
	ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || missing="$$missing postgresql"; \
	[ -z "$$missing" ] || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; } >/dev/null 2>&1 || \
	echo "make test: missing, and so not tested with:$$missing" >&2
	@command -v promtool >/dev/null || [ -x $(PROMETHEUS)/usr/bin/promtool ] || \
	{ mkdir -p $(PROMETHEUS) && cd $(PROMETHEUS) && rm -f *.deb && { apt-get download -qq prometheus || { apt-get update -qq && apt-get download -qq prometheus; }; } && \
	dpkg-deb --extract prometheus_*.deb . && rm *.deb; } >/dev/null 2>&1 || echo "make test: missing, and so not tested with: prometheus" >&2
	@[ "$$(cat .cache/npm/installed 2>/dev/null)" = "$(NPM)" ] || { mkdir -p .cache/npm && npm install --silent --no-audit --no-fund --prefix .cache/npm $(NPM) && echo "$(NPM)" >.cache/npm/installed; } >/dev/null 2>&1 || \
	echo "make test: missing, and so not tested with: $(NPM)" >&2

# Without its database govulncheck checks nothing. `make lint` then warns, and fails with
# RELEASE=true.
NOT_CHECKED = NOT CHECKED for known vulnerabilities: govulncheck did not finish (see above), most likely because its database is not reachable from here.

lint:
	@unformatted="$$(gofmt -l .)"; \
	if [ -n "$$unformatted" ]; then echo "gofmt would change: $$unformatted" >&2; exit 1; fi
	go vet ./...
	$(VALIDATE) vet $(QUICKLY) ./...
	$(TOOL) golangci-lint run ./...
	cd deploy/image && go vet ./... && $(TOOL) golangci-lint run ./...
	cd bench/cachebench && go vet ./... && $(TOOL) golangci-lint run ./...
	cd envoymodule && go vet ./... && $(TOOL) golangci-lint run ./...
	go run $(ACTIONLINT) .github/workflows/*.yml
	@$(TOOL) govulncheck ./... || { code=$$?; \
	if [ $$code -eq 3 ]; then exit 3; fi; \
	if [ "$$CI" = true ]; then printf '%s\n' '' '==================== make lint ====================' '$(NOT_CHECKED)' '===================================================' '' \
		'::warning title=govulncheck::$(NOT_CHECKED)' >&2; else echo 'make lint: $(NOT_CHECKED)' >&2; fi; \
	if [ "$(RELEASE)" = true ]; then echo 'make lint: a release needs that check' >&2; exit 1; fi; }

# Tests that `make test` runs in short, at full size. Each item has the arguments of one go
# test.
ITEMS = $(sort $(patsubst PROVE_%,%,$(filter PROVE_%,$(.VARIABLES))))
PROVE_shared-limits  = -race -run '^TestFourKeywardsLetInWhatTheRateSays$$' ./e2e
PROVE_revocations    = -run '^TestReplacing$$' ./store/filestore
PROVE_check-requests = -run '^TestReaderMatchesGeneratedDecoder$$' ./extauthz
PROVE_poisoned-tokens = -race -run '^TestPoisonedTokens$$' ./server
PROVE_path-readings  = -run '^TestEveryReadingHasOneRoute$$' ./policy
PROVE_signatures     = -run '^TestForgedSignatures' ./e2e
PROVE_log            = -race -parallel 6 -run '^TestLogOutput$$' ./e2e
PROVE_trailers       = -race -run '^TestRandomTrailers$$' ./e2e
PROVE_openapi        = -run '^TestOpenAPIDocument$$' ./e2e
PROVE_kill-manage    = -run '^TestKilledWhileManaging$$' ./e2e
PROVE_manage-scale   = -run '^TestManagedAtScale$$' ./e2e
PROVE_manage-secrets = -run '^TestManagedSecrets$$' ./e2e
PROVE_everywhere     = -run '^TestRevokedEverywhere$$' ./server
PROVE_central-scale  = -run '^TestCentralAtScale$$' ./e2e
PROVE_store-failures = -race ./e2e/postgres
PROVE_console-pages  = -race -run '^TestPages$$' ./e2e/console
PROVE_lighthouse     = -run '^TestLighthouse$$' ./e2e/console
PROVE_issuer-load    = -run '^TestIssuerUnderLoad$$' ./e2e
PROVE_followers      = -run '^TestFollowers$$' ./engine/central
PROVE_issuer-kill    = -run '^TestKill$$' ./manage/oauth
PROVE_module         = -run '^TestModuleSoak$$' ./e2e

# Lighthouse is large, and only its item needs it.
ifeq ($(ITEM),lighthouse)
NPM += lighthouse@12.8.2
endif

prove: programs
	@$(if $(PROVE_$(ITEM)),true,echo 'make prove ITEM=…, one of: $(ITEMS)' >&2; exit 2)
	KEYWARD_PROVE=1 go test -v -count=1 -timeout 80m $(PROVE_$(ITEM))

# go test fuzzes one target at a time.
fuzz:
	@grep -rhoE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' --with-filename . | sed 's|^\./||; s|:func | |' | sort | \
	while read -r file target; do \
		echo "== $$target ($$(dirname "$$file"), $(FUZZTIME))"; \
		go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "./$$(dirname "$$file")" </dev/null || exit 1; \
	done

# Measures the program from outside and writes the tables to docs/, then runs the Go
# benchmarks, those of another cache last. If h2load is installed (Debian, Ubuntu: apt-get install nghttp2-client), it
# gives a second measurement.
bench: build module
	@go run ./bench -write docs
	@echo
	@set -o pipefail; go test -run '^$$' -bench . -benchmem $$(go list ./... | grep -v -x $(E2E:%=-e %)) | \
	awk '/^pkg:/ { pkg = $$2 } \
	     /^Benchmark/ { line = sprintf("%-20s %-36s", pkg, $$1); \
	                    for (i = 3; i < NF; i += 2) line = line sprintf(" %14s %-10s", $$i, $$(i + 1)); print line } \
	     /^(---|FAIL|panic)/'
	cd bench/cachebench && go test -bench .

# Takes the pictures of the console that the docs show.
screenshots: programs
	@mkdir -p docs/img
	KEYWARD_SCREENSHOTS=$(CURDIR)/docs/img go test -count=1 -run '^TestScreenshots$$' ./e2e/console

# Runs ten minutes at saturation; fails if memory grows or the slowest answers are too slow.
soak: build
	@go run ./bench -only soak

# Makes the profile for profile-guided optimisation of keyward. Run it again after a change
# of the hot path, or of Go.
pgo: build
	go run ./bench -profile cmd/keyward/default.pgo
