# cocaptain: `make run` shows it, `make test` proves it. See README.md.
#
# Needed: rustup's Rust, g++, make, python3 with pip. libtorch is fetched into .libtorch/ unless LIBTORCH names one.

SHELL := /bin/bash
PREFIX ?= /usr/local
CARGO ?= cargo
PYTHON ?= python3
TARGET := $(or $(CARGO_TARGET_DIR),target)/release
TORCH_LIB := $(or $(LIBTORCH),.libtorch/torch)/lib

.PHONY: run build test test-peer lint docs libtorch screenshots screenshot-sixel install tools

run: build
	$(TARGET)/cocaptain demo

build: tools libtorch
	$(CARGO) build --release --workspace --bins

# Integration tests make cargo build the programs too: one pass, so that no dependency is compiled twice.
test: tools libtorch
	$(CARGO) test --release --workspace

# Against open_clip, Pillow, PaddlePaddle...: installs them (8 GB) into .peer/, or into PEER_VENV. See tools/peer/README.md.
test-peer: build
	$(CARGO) build --release -p cocaptain-data --example peer
	PYTHON=$(PYTHON) CARGO_TARGET_DIR=$(CARGO_TARGET_DIR) tools/peer/run

lint: tools libtorch
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --workspace --all-targets -- -D warnings
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny check; else echo "cargo-deny is not installed: left out"; fi

# docs/settings.md and docs/keys.md, from the tables. `make test` fails when they are not current.
docs: tools libtorch
	COCAPTAIN_WRITE_DOCS=1 $(CARGO) test --release --workspace --bin cocaptain reference

screenshots: build
	COCAPTAIN=$(TARGET)/cocaptain $(CARGO) run --release --example screenshots -- $(RUN)

# Pictures in a real xterm under a virtual display; needs apt packages, which it names.
screenshot-sixel: build
	$(PYTHON) tools/screenshots/xterm $(TARGET)/cocaptain

libtorch: tools
ifndef LIBTORCH
	@$(PYTHON) tools/libtorch/fetch
endif

tools:
	@command -v $(CARGO) >/dev/null || { echo "make: cargo is missing"; echo "  fix: install Rust from https://rustup.rs"; exit 1; }
	@command -v g++ >/dev/null || { echo "make: g++ is missing"; echo "  fix: apt-get install g++"; exit 1; }
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) is missing"; echo "  fix: apt-get install python3 python3-pip"; exit 1; }

# The engine finds its libraries (libtorch and what it needs, each of which looks beside itself) at ../lib/cocaptain, wherever PREFIX is moved to.
install: build
	install -d "$(DESTDIR)$(PREFIX)/bin" "$(DESTDIR)$(PREFIX)/lib/cocaptain"
	install -m 755 $(TARGET)/cocaptain $(TARGET)/cocaptain-engine "$(DESTDIR)$(PREFIX)/bin"
	if [ -f $(TARGET)/libcocaptain_nccl.so ]; then install -m 755 $(TARGET)/libcocaptain_nccl.so "$(DESTDIR)$(PREFIX)/lib/cocaptain"; fi
	find -L $(TORCH_LIB) $(wildcard $(TORCH_LIB)/../../nvidia) -name '*.so*' -type f -exec cp -L -t "$(DESTDIR)$(PREFIX)/lib/cocaptain" {} +
