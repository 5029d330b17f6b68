# What people do here. Every target does its own set-up, and only what is not done yet.

CARGO ?= cargo
SECONDS ?= 60
RUNS ?= 100

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-6s %s\n", $$1, $$2 }' Makefile

demo: pages ## start a whole network with sample data, until Ctrl-C
	@exec $(CARGO) run --quiet --package hdms-nodes --bin hdms -- demo $(ARGS)

pages: # what `hdms demo` serves: the worker and the pages
	@.ci/setup demo
	@.ci/pages

test: ## everything, in three browsers too
	@.ci/setup test
	@.ci/test $(PHASES)

check: ## formatting, lints, licences, types
	@.ci/setup check
	@.ci/check

bench: ## the figures, side by side
	@.ci/setup test
	@.ci/bench

soak: ## treatments, over and over, for SECONDS; floods; nodes killed under load, RUNS times, workers twice as often
	@.ci/setup demo
	@$(CARGO) run --quiet --release --package hdms-tests --bin soak -- --seconds $(SECONDS)
	@HDMS_FLOOD_SECONDS=10 $(CARGO) test --quiet --release --package hdms-nodes --test floods -- --nocapture
	@$(CARGO) test --quiet --release --package hdms-nodes --test attacks lock_out
	@HDMS_KILL_RUNS=$(RUNS) $(CARGO) test --quiet --release --package hdms-nodes --test killed -- --nocapture
	@HDMS_KILL_RUNS=$$((2 * $(RUNS))) .ci/kill-workers

fuzz: ## every fuzz target for SECONDS each
	@.ci/setup demo
	@.ci/fuzz $(SECONDS)

docs: ## the examples in docs/protocol.md, and the Rust documentation, into target/doc
	@.ci/setup demo
	@$(CARGO) run --quiet --package hdms-simulation --bin write-docs docs/protocol.md docs/examples.json
	@$(CARGO) doc --quiet --workspace --exclude hdms-fuzz --no-deps --document-private-items

clean: ## what was built here; not the tools in the user's cache
	@$(CARGO) clean
	@rm -rf node_modules worker/pkg www/dist

.PHONY: help demo pages test check bench soak fuzz docs clean
.DEFAULT_GOAL := help
