# SPDX-License-Identifier: Apache-2.0
#
# make demo        build, and see the whole system at work on this computer; ARGS=--keep
# make test        all tests, with the race detector; installs what they need, as root
# make test-short  the quick ones; needs nothing but Go
# make simulate    random histories with crashes and faults: SEED=1 RUNS=1000 SIM_BREAK=
# make soak        the real program under kill -9, SIGSTOP, full disk, cut network: SOAK=300 (seconds)
# make lint        the linter, in the version that tools.mod pins
# make help        everything else

GO ?= go
# What a person waits for is shown (-v); what was built says from which commit.
STAMP := $(shell git status --porcelain >/dev/null 2>&1 && echo true || echo false)
BUILD = CGO_ENABLED=0 $(GO) build -v -trimpath -buildvcs=$(STAMP)
SMALL = -ldflags "-s -w"
FUZZTIME ?= 10s
# An instance downloads the relay before it can begin.
RELAY_MAX = 8388608

.PHONY: help
help:
	@sed -n '3,/^$$/s/^# \{0,1\}//p' Makefile
	@echo "make build       bin/heptapod-paas-runner, -register and bin/paas-relay for this computer"
	@echo "make cross       the same for linux/amd64, linux/arm64 and darwin/arm64, in dist/"
	@echo "make deb         dist/heptapod-paas-runner_VERSION_ARCH.deb; VERSION=1.2.3 ARCH=arm64"
	@echo "make image       dist/heptapod-paas-runner_image_ARCH.tar for 'docker load'; needs no engine"
	@echo "make man         the man pages, in dist/man/"
	@echo "make fuzz        every fuzz target for FUZZTIME=$(FUZZTIME)"
	@echo "make ci          what .ci/run does on a clean checkout"
	@echo "make clean"

.PHONY: build
build:
	@echo "building bin/paas-relay"
	@$(BUILD) $(SMALL) -o bin/paas-relay ./cmd/paas-relay
	@echo "building bin/heptapod-paas-runner (the first time takes a minute or two: it compiles SQLite)"
	@$(BUILD) -o bin/heptapod-paas-runner ./cmd/heptapod-paas-runner
	@echo "building bin/heptapod-paas-runner-register"
	@$(BUILD) $(SMALL) -o bin/heptapod-paas-runner-register ./cmd/heptapod-paas-runner-register

.PHONY: demo
demo: build
	bin/heptapod-paas-runner demo $(ARGS)

.PHONY: test
test:
	@./.ci/need bash git gcc npm dockerd:docker.io iptables ip:iproute2 busybox:busybox-static
	@./.ci/need dpkg-deb:dpkg gzip lintian /lib/systemd/systemd:systemd unshare:util-linux adduser curl man:man-db zsh fish /etc/ssl/certs/ca-certificates.crt:ca-certificates
	$(GO) test -race -shuffle=on -timeout 60m ./...

# Random plans with faults and crashes in simulated time, each from its seed. SIM_BREAK
# switches on one of the mistakes that `go run ./internal/e2e/broken -list` tells of.
SEED ?= 1
RUNS ?= 1000

.PHONY: simulate
simulate:
	@mkdir -p bin
	@names=$$($(GO) run ./internal/e2e/broken bin/.broken) && \
		$(GO) test -c -overlay bin/.broken/overlay.json -ldflags "-X heptapod-paas-runner/internal/e2e.breakable=$$names" -o bin/simulate ./internal/e2e
	@if [ "$(RUNS)" != 0 ]; then SEED=$(SEED) RUNS=$(RUNS) bin/simulate; fi

# The real program, killed, frozen, cut off and without disk space, for so many seconds.
SOAK ?= 300

.PHONY: soak
soak:
	@./.ci/need bash git unshare:util-linux
	@# In a mount namespace of its own: the small disk goes with it, however this ends.
	SOAK=$(SOAK) SEED=$(SEED) unshare --mount $(GO) test -count=1 -timeout $$(($(SOAK) + 900))s -v -run 'TestSoak$$' ./internal/e2e

.PHONY: test-short
test-short:
	$(GO) test -short -shuffle=on ./...

.PHONY: lint
lint: bin/golangci-lint
	bin/golangci-lint run

bin/golangci-lint: tools.mod tools.sum
	@echo "building bin/golangci-lint (the first time takes two minutes)"
	@$(GO) build -modfile=tools.mod -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

.PHONY: cross
cross:
	@for target in linux/amd64 linux/arm64 darwin/arm64; do \
		os=$${target%/*} arch=$${target#*/}; \
		echo "building dist/$$os-$$arch"; \
		GOOS=$$os GOARCH=$$arch $(BUILD) $(SMALL) -o dist/$$os-$$arch/ ./cmd/heptapod-paas-runner ./cmd/heptapod-paas-runner-register ./cmd/paas-relay || exit 1; \
		size=$$(wc -c < dist/$$os-$$arch/paas-relay); \
		test $$size -le $(RELAY_MAX) || { echo "paas-relay has $$size bytes, more than $(RELAY_MAX)"; exit 1; }; \
	done

# A Debian version begins with a digit; before the first tag it sorts below all releases.
VERSION ?= $(or $(patsubst v%,%,$(shell git describe --tags --match 'v[0-9]*' 2>/dev/null | tr - +)),0~$(shell git log -1 --format=%cd.%h --date=format:%Y%m%d 2>/dev/null || echo dev))
ARCH ?= $(shell $(GO) env GOARCH)

.PHONY: deb
deb:
	@./.ci/need dpkg-deb:dpkg gzip
	@GO="$(GO)" STAMP=$(STAMP) packaging/deb/build "$(VERSION)" $(ARCH) dist

.PHONY: image
image:
	@./.ci/need /etc/ssl/certs/ca-certificates.crt:ca-certificates
	@GO="$(GO)" STAMP=$(STAMP) packaging/image/build "heptapod-paas-runner:$(subst +,-,$(subst ~,-,$(VERSION)))" $(ARCH) dist/heptapod-paas-runner_image_$(ARCH).tar

.PHONY: man
man: build
	@mkdir -p dist/man
	@bin/heptapod-paas-runner man > dist/man/heptapod-paas-runner.1
	@bin/heptapod-paas-runner-register --man > dist/man/heptapod-paas-runner-register.1
	@echo "man -l dist/man/heptapod-paas-runner.1"

.PHONY: fuzz
fuzz:
	@for package in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz'); do \
			echo "$$package $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$package || exit 1; \
		done; \
	done

.PHONY: ci
ci:
	bash .ci/run

.PHONY: clean
clean:
	rm -rf bin dist
