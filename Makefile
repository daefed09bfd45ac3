# What is done with this repository, each as one word: `make help` lists them.
# Environments are made as needed: .venv (agent, tests, checks), .venv-tflite-runtime (the same
# agent on tflite-runtime, which needs NumPy 1 and Python 3.11), .venv-train (the model tools,
# 2.5 GB, Python 3.11) and .venv-keras (the same for Keras models, 2.1 GB). A stamp file in each says
# that it is complete, so the second run starts at once.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# Debian keeps mosquitto in /usr/sbin, which is not on everybody's PATH.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# The first Python of 3.11 or later; say PYTHON=... for another one.
is_recent = $(1) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python3.14; do \
	if $(call is_recent,$$python); then echo $$python; break; fi; done)
PYTHON311 ?= $(shell if python3.11 -c '' 2>/dev/null; then echo python3.11; fi)

VENV ?= .venv
VENV_TFLITE_RUNTIME ?= .venv-tflite-runtime
RUN_READY := $(VENV)/run.stamp
DEV_READY := $(VENV)/dev.stamp
TFLITE_RUNTIME_READY := $(VENV_TFLITE_RUNTIME)/dev.stamp
VENV_TRAIN ?= .venv-train
TRAIN_READY := $(VENV_TRAIN)/train.stamp
VENV_KERAS ?= .venv-keras
KERAS_READY := $(VENV_KERAS)/keras.stamp
VENV_MLFLOW ?= .venv-mlflow
MLFLOW_READY := $(VENV_MLFLOW)/mlflow.stamp

# The recordings that shipped models are made from (docs/models.md).
DATA ?= ../shared/data

# Where the service lies, and the Python that it runs on: one that stays when this user is gone.
PREFIX ?= /opt/edge-agent
DESTDIR ?=
SYSTEM_PYTHON ?= /usr/bin/python3

# Arguments for `make run` and `make test`, for example ARGS="--data ../shared/data".
ARGS ?=

.PHONY: help run test check bench accel delegate faults fuzz soak golden models test-tools training-environment
.PHONY: install deb test-system test-registry fleet-sim
.PHONY: lock schemas clean mosquitto

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(RUN_READY) ## the demo: a simulated cell, inspected in this terminal until Ctrl-C
	@exec $(VENV)/bin/python -m tools.foreground $(VENV)/bin/python -m edge_agent demo $(ARGS)

# Most tests wait for processes and brokers: two files at a time, also on few cores.
test: $(DEV_READY) mosquitto ## all tests, those of TensorFlow Lite on both of its packages
	$(VENV)/bin/python -m pytest -n 2 --dist loadfile $(ARGS)
	@$(MAKE) --no-print-directory test-tflite-runtime

check: $(DEV_READY) ## ruff, mypy and the architecture test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/python -m pytest -q tests/test_architecture.py

bench: $(DEV_READY) mosquitto ## speed, memory and start, beside what this machine can do at best
	$(VENV)/bin/python -m tools.bench $(ARGS)

accel: $(DEV_READY) mosquitto software-gpu ## models on CPU, GPU, NPU and a test delegate, which is broken in every way
	$(VENV)/bin/python -m tools.accel --data $(DATA) $(ARGS)

delegate: $(DEV_READY) ## build/libtestdelegate.so: a delegate for trials, which works or fails as it is told
	$(VENV)/bin/python -m tools.accel.stand_ins build

faults: $(DEV_READY) mosquitto iptables ## every fault as often and long as docs/reliability.md says
	$(VENV)/bin/python -m pytest -p tests.faults.table --full -v tests/faults tests/updating/test_bad_models.py \
	    $(ARGS)

fuzz: $(DEV_READY) ## damaged payloads, pictures, configs, manifests and models, for a long time
	FUZZ_EXAMPLES=10000 $(VENV)/bin/python -m pytest -q --timeout 7200 tests/fuzz $(ARGS)

soak: $(DEV_READY) mosquitto ## 30 minutes at full load: does any process grow? ARGS=--faults: with faults in turn
	$(VENV)/bin/python -m tools.soak $(ARGS)

fleet-sim: $(DEV_READY) mosquitto nginx ## 1,000 simulated gateways: rings, a bad model, what it costs
	$(VENV)/bin/python -m tools.fleet_sim $(ARGS)

golden: $(DEV_READY) ## answers of published models against their published outputs
	$(VENV)/bin/python -m tools.golden
	@$(MAKE) --no-print-directory golden-tflite-runtime

models: $(TRAIN_READY) ## train every shipped model anew from DATA; print the tables of docs/models.md
	$(VENV_TRAIN)/bin/python -m tools.shipped --data $(DATA) $(ARGS)

# no:anyio: a converter brings its pytest plug-in along, which warns, and warnings are errors.
test-tools: $(TRAIN_READY) $(KERAS_READY) mosquitto ## the model tools, on small data, where they can train
	$(VENV_TRAIN)/bin/python -m pytest -m tools -p no:cacheprovider -p no:anyio $(ARGS) \
	    tests/tools --ignore tests/tools/test_keras_zoo.py
	$(VENV_KERAS)/bin/python -m pytest -m tools -p no:cacheprovider $(ARGS) tests/tools/test_keras_zoo.py

test-registry: $(DEV_READY) $(MLFLOW_READY) ## models from a real MLflow server into a repository
	VENV_MLFLOW=$(VENV_MLFLOW) $(VENV)/bin/python -m pytest -m registry $(ARGS) tests/registry

training-environment: $(RUN_READY) $(TRAIN_READY) $(KERAS_READY) ## .venv, .venv-train and .venv-keras alone: 5 GB

# backports-strenum 1.3 refuses Python 3.11 and later, which pip minds and uv does not.
lock: ## pin the newest versions anew, with hashes (needs uv)
	$(LOCK) --group build --extra demo --extra onnx --extra sync \
	    --constraints <(printf 'numpy>=2\nbackports-strenum<1.3\n') \
	    --output-file requirements.lock
	$(LOCK) --group build --extra dev --constraints requirements.lock \
	    --output-file requirements-dev.lock
	$(LOCK) --group build --extra demo --extra onnx --extra sync --extra test --extra tflite-runtime \
	    --overrides <(echo 'ai-edge-litert; python_version < "3"') \
	    --output-file requirements-tflite-runtime.lock

# --no-emit-index-url: where packages come from is each machine's own setting.
LOCK = uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --fork-strategy fewest --upgrade --quiet --custom-compile-command "make lock"

schemas: $(DEV_READY) ## write docs/schemas/, config.md and manifest.md anew from the code
	$(VENV)/bin/python -m edge_agent schema docs/schemas
	$(VENV)/bin/python -m tools.reference docs

install: ## the service below DESTDIR: PREFIX (/opt/edge-agent), unit, user, first config
	tools/packaging/environment.sh build/environment $(PREFIX) $(SYSTEM_PYTHON)
	tools/packaging/install.sh build/environment "$(DESTDIR)" $(PREFIX)
	@[ -n "$(DESTDIR)" ] || echo "Now: systemd-sysusers; systemctl daemon-reload; systemctl enable --now edge-agent"

deb: ## a Debian package for this machine's kind, in dist/
	tools/packaging/environment.sh build/environment $(PREFIX) $(SYSTEM_PYTHON)
	tools/packaging/deb.sh build/environment $(PREFIX) dist

test-system: $(DEV_READY) mosquitto deb ## the package in a booted Debian: watchdog, reload, reboot, removal
	tools/packaging/debian_tree.sh build/debian-tree.tar
	$(VENV)/bin/python -m pytest -m system -p no:cacheprovider tests/system $(ARGS)

clean: ## remove the environments and everything that was built
	rm -rf .venv .venv-tflite-runtime .venv-train .venv-keras .venv-mlflow build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

# --- the same on tflite-runtime, where its last Python is at hand --------------------------------

.PHONY: test-tflite-runtime golden-tflite-runtime
ifneq ($(PYTHON311),)
test-tflite-runtime: $(TFLITE_RUNTIME_READY)
	$(VENV_TFLITE_RUNTIME)/bin/python -m pytest -m tflite -p no:cacheprovider

golden-tflite-runtime: $(TFLITE_RUNTIME_READY)
	$(VENV_TFLITE_RUNTIME)/bin/python -m tools.golden
else
test-tflite-runtime golden-tflite-runtime:
	@echo "NOT RUN on tflite-runtime: it has no wheels past Python 3.11, and there is no python3.11."
endif

# --- what the targets need -----------------------------------------------------------------------

mosquitto:
	@command -v mosquitto >/dev/null || tools/apt_install.sh mosquitto
	@command -v mosquitto_sub >/dev/null || tools/apt_install.sh mosquitto-clients

# A Vulkan driver that needs no GPU comes with it. Tests go without, and say so.
.PHONY: software-gpu
software-gpu:
	@[ -e /usr/lib/chromium/vk_swiftshader_icd.json ] || tools/apt_install.sh chromium || true

# It goes without: slower, and it says so.
.PHONY: nginx
nginx:
	@command -v nginx >/dev/null || tools/apt_install.sh nginx-light || true

.PHONY: iptables
iptables:
	@command -v iptables >/dev/null || tools/apt_install.sh iptables

$(RUN_READY): requirements.lock pyproject.toml
	@tools/new_environment.sh $(VENV) "$(PYTHON)" requirements.lock
	@touch $@

$(DEV_READY): requirements-dev.lock pyproject.toml
	@tools/new_environment.sh $(VENV) "$(PYTHON)" requirements-dev.lock
	@touch $(RUN_READY) $@  # requirements-dev.lock holds all of requirements.lock

$(TFLITE_RUNTIME_READY): requirements-tflite-runtime.lock pyproject.toml
	@tools/new_environment.sh $(VENV_TFLITE_RUNTIME) "$(PYTHON311)" $<
	@touch $@

$(TRAIN_READY): requirements-dev.lock tools/requirements-train.txt
	@tools/training_environment.sh $(VENV_TRAIN) "$(PYTHON311)" train
	@touch $@

$(KERAS_READY): requirements-dev.lock tools/requirements-keras.txt
	@tools/training_environment.sh $(VENV_KERAS) "$(PYTHON311)" keras
	@touch $@

$(MLFLOW_READY): tools/requirements-mlflow.txt
	@echo "Setting up $(VENV_MLFLOW): 0.9 GB and some minutes, the first time and when it has changed."
	@"$(PYTHON)" -m venv --clear $(VENV_MLFLOW)
	@$(VENV_MLFLOW)/bin/python -m pip install --quiet --no-deps --requirement $<
	@touch $@
