# Everything that is made at run time lives in one folder, which git ignores.
export HOMEWARD_STATE ?= $(CURDIR)/.homeward
# A checkout that another user owns (a container's volume) has no version to stamp, and needs none.
export GOFLAGS := $(strip -buildvcs=false $(GOFLAGS))

GO      ?= go
BIN     := $(HOMEWARD_STATE)/bin
MODULES  = $(shell sed -n 's,^[[:space:]]*\./,,p' go.work)

.PHONY: help run discharge trace why test sim matrix storm canaries fuzz bench check gen verify images chart clean need-go need-linux

help: ## show this
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

run: need-go need-linux ## run everything here, until Ctrl-C
	@mkdir -p "$(BIN)"
	@echo "Compiling ..."; $(GO) build -o "$(BIN)/devstack" ./tools/devstack
	@exec "$(BIN)/devstack" run

discharge: need-go ## send a discharge message to what runs, and tell what came of it
	@$(GO) run ./tools/homeward discharge

trace: need-go ## the spans of a trace, as a tree: make trace ID=...
	@test -n "$(ID)" || { echo "say which: make trace ID=<trace id>"; exit 2; }
	@$(GO) run ./tools/homeward trace "$(ID)"

why: need-go ## the whole way of one handover: make why REF=...
	@test -n "$(REF)" || { echo "say which: make why REF=<reference, control id, spell, event or trace>"; exit 2; }
	@$(GO) run ./tools/homeward why "$(REF)"

test: need-go need-linux ## every test, against the real parts
	@for m in $(MODULES); do echo "build $$m alone"; (cd $$m && GOWORK=off $(GO) build ./...) || exit 1; done
	$(GO) test -count=1 -timeout 30m work
	$(GO) test -count=1 -tags failpoints ./services/kit/failpoint
	cd tools/build/chart && GOWORK=off $(GO) test -count=1 -timeout 30m ./...
	cd tools/build/fhir && GOWORK=off $(GO) test -count=1 -timeout 30m ./...

sim: need-go need-linux ## simulate seed after seed: make sim SEEDS=1000, or make sim SEED=17 for one with its story
	@$(GO) run ./e2e/cmd/sim $(if $(SEEDS),-seeds=$(SEEDS)) $(if $(SEED),-seed=$(SEED))

matrix: need-go need-linux ## crash the services at every named point, in every way; PAIRS=n adds pairs, SEED=n draws others
	@MATRIX=all $(GO) test -count=1 -v -timeout 3h -run TestWhatWasAcknowledgedSurvivesEveryFault ./e2e/matrix

storm: need-go need-linux ## break everything for some minutes: MINUTES=5 SEED=... WITHOUT=disk,... CLUSTER=1 HOLD=1
	@$(GO) run ./e2e/cmd/storm $(if $(MINUTES),-minutes=$(MINUTES)) $(if $(SEED),-seed=$(SEED)) $(if $(WITHOUT),-without='$(WITHOUT)') \
		$(if $(CLUSTER),-cluster) $(if $(HOLD),-hold)

canaries: need-go need-linux ## plant known bugs: which rung catches each, and how fast; ONLY=name for one, SEEDS=n for the simulation
	@$(GO) run ./e2e/cmd/canaries $(if $(ONLY),-only=$(ONLY)) $(if $(SEEDS),-seeds=$(SEEDS))

fuzz: need-go need-linux ## every fuzz target with new inputs, one after another: make fuzz TIME=5m (30s if not said)
	@GO="$(GO)" TIME="$(TIME)" tools/fuzz.sh $(MODULES)

bench: need-go need-linux ## handovers a second on this machine, beside what its PostgreSQL could do at best
	@$(GO) run ./tools/bench

check: need-go verify ## formatting, vet, and verify
	@unformatted=$$(gofmt -l $(MODULES)); test -z "$$unformatted" || { echo "not formatted: run gofmt -w on"; echo "$$unformatted"; exit 1; }
	$(GO) vet work

gen: need-go ## generate the Go code of the contracts in proto/
	@mkdir -p "$(BIN)"
	@cd tools/build && GOWORK=off GOBIN="$(BIN)" $(GO) install tool
	cd proto && PATH="$(BIN):$$PATH" buf generate

verify: need-go ## the repository's own rules: imports, contracts, generated code, documents
	cd tools && $(GO) test -count=1 ./repocheck

images: need-go ## a container image for each service (needs docker, podman or buildah)
	@deploy/images.sh

chart: need-go ## lint and render the chart with Helm itself, and check it against Kubernetes' types
	cd tools/build/chart && GOWORK=off $(GO) test -count=1 ./...

clean: ## remove everything that was made here, the data too
	@if [ -e "$(HOMEWARD_STATE)/lock" ] && command -v flock >/dev/null && ! flock -n "$(HOMEWARD_STATE)/lock" true; then \
		echo "Homeward runs (process $$(cat "$(HOMEWARD_STATE)/lock")): stop it first"; exit 1; fi
	@for d in "$(HOMEWARD_STATE)/postgres" "$(HOMEWARD_STATE)/parts/postgres"; do \
		if [ -L "$$d" ]; then rm -rf "$$(readlink "$$d")"; fi; done
	@rm -rf "$(HOMEWARD_STATE)"

need-go:
	@command -v $(GO) >/dev/null || { echo "Go is not installed: get 1.21 or later from https://go.dev/dl (it fetches the version that this project needs)"; exit 1; }
	@minor=$$(cd / && $(GO) version | sed -n 's/^go version go1\.\([0-9]*\).*/\1/p'); \
	test "$${minor:-99}" -ge 21 || { echo "Go 1.$$minor is too old: get 1.21 or later from https://go.dev/dl (it fetches the version that this project needs)"; exit 1; }

need-linux:
	@test "$$(uname -s)" = Linux || { echo "this runs on Linux: use a virtual machine, WSL or a container on $$(uname -s)"; exit 1; }
