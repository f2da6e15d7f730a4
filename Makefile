# Two commands do everything: `make demo` shows openami at its main job, `make test` tests it.
# Each does its own set-up on a fresh Debian or Ubuntu machine.

RUN := .venv/bin/
SETUP := .cache/setup.stamp

.PHONY: help demo test check boot-test bench docs setup clean
help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1\t/' | expand -t 14

$(SETUP): scripts/setup pyproject.toml uv.lock
	@mkdir -p .cache
	@scripts/setup
	@touch $@

setup: $(SETUP) ## install what is missing: Debian packages, the Python environment

demo: $(SETUP) ## an image becomes many identical, real servers, and a server becomes an image
	@$(RUN)python -u scripts/demo.py

test: check ## everything: static checks, then all tests, with real virtual machines
	@scripts/packages-for-tests
	$(RUN)pytest tests --numprocesses=auto --dist=loadscope

boot-test: $(SETUP) ## only the tests that boot real virtual machines
	$(RUN)pytest tests -m boot

check: $(SETUP) ## format, lint, types, layers
	$(RUN)ruff format --check .
	$(RUN)ruff check .
	$(RUN)basedpyright
	$(RUN)lint-imports

bench: $(SETUP) ## measure beside peers; `make bench P2 P8` measures a part, ROUNDS=3 briefly
	@$(RUN)python -m bench $(PART) $(if $(ROUNDS),--rounds $(ROUNDS))

# The words after `bench` say which part of it; they are no targets of their own.
ifeq (bench,$(firstword $(MAKECMDGOALS)))
PART := $(wordlist 2,$(words $(MAKECMDGOALS)),$(MAKECMDGOALS))
$(eval $(PART):;@:)
endif

docs: $(SETUP) ## write the tables that are generated from the code
	$(RUN)python scripts/write_tables.py

clean: ## remove what the targets above made here
	rm -rf .venv .cache build dist
