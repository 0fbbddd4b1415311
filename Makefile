# Everything a user or a continuous integration job types. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup lab run test test-cluster lint bench image manifest lock

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PACKAGES := python3 python3-venv python3-pyverbs rdma-core ibverbs-providers
# the lab is found and run by the interpreter that knows the distribution's packages
PYTHON := /usr/bin/python3

help: ## what there is
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 10

setup: $(READY) ## the environment in .venv, with .venv/bin/rdmatop

$(READY): requirements.lock pyproject.toml
	@tests/lab/apt-install $(PACKAGES)
	@echo "Setting up $(VENV)"
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv --system-site-packages $(VENV)
	@# exact versions by hash, then this checkout itself, with the build tool that the lock brought
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	@PYTHONWARNINGS=ignore $(BIN)/pip install -q --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

lab: ## the test lab: tools, a kernel with RDMA for its virtual machines, Kubernetes' programs, in ~/.cache/rdmatop
	@$(PYTHON) -m tests.lab.install
	@tests/lab/kube/build-kube

run: setup ## rdmatop on this machine's RDMA devices, or on the lab's where it has none
	@$(BIN)/python -m tests.lab.demo

test: setup lint ## all tests but the cluster's; what a machine cannot run is skipped with its reason, and fails where CI=true
	@$(PYTHON) -m tests.lab.install || true
	@$(BIN)/python -m pytest

test-cluster: setup ## the cluster's tests: a control plane, then two nodes; builds Kubernetes once (20 minutes)
	@$(PYTHON) -m tests.lab.install
	@tests/lab/kube/build-kube
	@$(BIN)/python -m pytest tests/kube
	@$(BIN)/python -m pytest tests/kube_nodes

lint: setup ## style, types and layers
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/mypy --explicit-package-bases tests/lab/*.py tests/lab/vm tests/lab/kube tests/lab/rxe_lab tests/lab/tui_bench tests/bench deploy
	@$(BIN)/lint-imports

bench: setup ## what it costs, as ratios with its peers in the same run (docs/performance.md)
	@$(PYTHON) -m tests.lab.install || true
	@$(BIN)/python -m tests.bench

image: setup ## build/rdmatop.oci, the container image, without Docker; needs root
	@$(BIN)/python -m deploy.image.build

manifest: setup ## deploy/daemonset.yaml, complete in itself, from the parts in deploy/base
	@$(BIN)/python -m diagnostics.cluster.crd >deploy/base/crd.yaml
	@$(BIN)/python -m deploy.manifest

lock: ## resolve requirements.lock anew: every supported Python, hashes, no addresses
	@[ -x build/uv/bin/uv ] || { $(PYTHON) -m venv build/uv && build/uv/bin/pip install -q uv; }
	@sed -n 's/^requires = \["\(.*\)"\]/\1/p' pyproject.toml | build/uv/bin/uv pip compile -q --upgrade \
	  --universal --python-version 3.10 --group dev --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --custom-compile-command "make lock" --output-file requirements.lock pyproject.toml -
