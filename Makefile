# Everything is set up by the target that needs it, into .venv and .venv-tflite; nothing else is written outside the tree
# but Debian packages, and those only where root or sudo allows.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || echo python3)
VENV := .venv
BIN := $(VENV)/bin
TFLITE := .venv-tflite
SHARED := ../shared
ANSIBLE := /var/cache/mask-edge-tests/ansible
export PYTHON
export PIP_DISABLE_PIP_VERSION_CHECK = 1
export XDG_CACHE_HOME := $(CURDIR)/.cache
export PIP_CACHE_DIR := $(CURDIR)/.cache/pip
export KERAS_HOME := $(CURDIR)/.cache/keras
export MPLCONFIGDIR := $(CURDIR)/.cache/matplotlib

.PHONY: help demo setup test test-faults test-homeassistant test-mutations test-service test-deploy test-soak soak trace locks check acceptance bench clean
help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

demo: $(VENV)/.device broker  ## a clip of a door through the daemon; its events as an MQTT subscriber gets them
	@$(BIN)/edge model fetch --quiet
	@$(BIN)/python demo/run_demo.py

setup: $(VENV)/.all  ## the whole .venv: edge, trainer, tests; and the model files of others
	@$(BIN)/edge model fetch

test: setup broker $(TFLITE)/.done  ## all tests (under ten minutes on two cores)
	@scripts/need ffmpeg ffmpeg
	@scripts/need openssl openssl
	@scripts/need --optional ssh-keygen openssh-client
	@scripts/need --optional strace strace
	@scripts/need --optional faketime faketime
	$(BIN)/python -m pytest tests

test-homeassistant: setup  ## Home Assistant's own MQTT integration finds a door (Python 3.13; 500 MB outside the tree)
	@scripts/test-homeassistant

test-faults: setup  ## the slow ones: two hundred writers of the outbox killed at random, trainings on two devices and processes (minutes)
	$(BIN)/python -m pytest -m slow -rs

test-mutations: setup broker  ## a thousand spoilt configs, pictures, videos, frames, packets each (minutes)
	@scripts/need ffmpeg ffmpeg
	$(BIN)/python -m pytest tests/mutations -m mutations -rs

test-soak: setup broker  ## a door's life in three minutes: a fault every 1,250 frames, memory flat, no event lost
	@scripts/need ffmpeg ffmpeg
	$(BIN)/python -m pytest tests/soak -m soak -rs

soak: setup broker  ## the same for 100,000 frames, a fault every 5,000 (ten minutes and more)
	@scripts/need ffmpeg ffmpeg
	$(BIN)/python -m tests.soak

test-service: setup  ## faults of a unit under a real systemd, in a container (root; 20 minutes; a Debian in /var/cache/mask-edge-tests)
	@scripts/need --optional debootstrap debootstrap
	@scripts/need --optional systemd-nspawn systemd-container
	@scripts/need --optional ffmpeg ffmpeg
	@PYTHON=/usr/bin/python3 scripts/need --optional py:gi python3-gi gir1.2-gst-rtsp-server-1.0 \
	    gstreamer1.0-plugins-base gstreamer1.0-plugins-good
	$(BIN)/python -m pytest tests/service -m service -rs

trace: setup  ## the system calls by which a model is installed and made active, in their order (strace)
	@scripts/need --optional strace strace
	$(BIN)/python -m pytest tests/edge/models/test_order_on_disk.py -s

test-deploy: setup  ## deploy/install and deploy/push on bare Debians with a real systemd and sshd (root; keeps files in /var/cache/mask-edge-tests)
	@scripts/need --optional debootstrap debootstrap
	@scripts/need --optional systemd-nspawn systemd-container
	@scripts/need --optional ffmpeg ffmpeg
	@scripts/need --optional apt-ftparchive apt-utils
	@scripts/need --optional mosquitto_sub mosquitto-clients
	@[ "$$(id -u)" != 0 ] || [ -x $(ANSIBLE)/bin/ansible-playbook ] || { $(PYTHON) -m venv $(ANSIBLE) && $(ANSIBLE)/bin/pip install --quiet ansible-core; }
	$(BIN)/python -m pytest tests/deploy -m deploy -rs

locks: setup  ## pin what doors get (deploy/locks): run after a change of dependencies, or for newer versions
	@for machine in x86_64 aarch64; do for python in 3.11 3.13; do \
	    $(BIN)/python -m uv pip compile pyproject.toml --quiet --upgrade --no-header --no-annotate --generate-hashes \
	        --only-binary :all: --no-python-downloads --cache-dir .cache/uv --constraint deploy/locks/constraints.txt \
	        --python-platform $$machine-manylinux_2_36 --python-version $$python \
	        --output-file deploy/locks/$$machine-$$python.txt >/dev/null || exit; \
	done; done

check: $(VENV)/.all  ## lint, format, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

acceptance: setup  ## judge the shipped model on photos and clips that are not part of the project (needs ../shared)
	@test -d $(SHARED)/data || { echo "$(SHARED)/data is not here: acceptance needs it" >&2; exit 66; }
	python3 $(SHARED)/tools/score_clips.py --truth $(SHARED)/data/clips/truth.csv
	python3 $(SHARED)/tools/score_photos.py $(SHARED)/data/andrewmvd $(SHARED)/data/no_face
	python3 $(SHARED)/tools/score_photos.py $(SHARED)/data/andrewmvd $(SHARED)/data/no_face --detector=centerface

bench: setup  ## the measurements that docs/ quotes (minutes; some need ../shared)
	$(BIN)/python benchmarks/detectors.py
	$(BIN)/python benchmarks/trackers.py
	$(BIN)/python benchmarks/drift_alarms.py --years 200

clean:  ## remove what the other targets made
	rm -rf $(VENV) $(TFLITE) .cache build dist models/third_party

.PHONY: broker
broker: $(VENV)/.device
	@scripts/need --optional mosquitto mosquitto
	@PATH="$$PATH:/usr/sbin" command -v mosquitto >/dev/null || $(BIN)/pip install --quiet 'amqtt>=0.11.3,<0.13'

$(BIN)/python:
	@scripts/need "$(PYTHON)" python3
	@scripts/need py:ensurepip python3-venv
	$(PYTHON) -m venv $(VENV)

$(VENV)/.device: $(BIN)/python pyproject.toml
	$(BIN)/pip install --quiet --editable .
	@touch $@

$(VENV)/.all: $(BIN)/python pyproject.toml
	$(BIN)/pip install --quiet --editable '.[trainer,dev]'
	@touch $@ $(VENV)/.device

# tflite-runtime ended at Python 3.11 and needs numpy 1: the runtime of a Raspberry Pi with Debian 12, in its own environment.
$(TFLITE)/.done:
	@if $(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'; then \
	    $(PYTHON) -m venv $(TFLITE) && $(TFLITE)/bin/pip install --quiet 'tflite-runtime==2.14.0' 'numpy<2' 'opencv-python-headless<4.12'; \
	else mkdir -p $(TFLITE) && echo "note: tflite-runtime has wheels for Python 3.11 only; its tests are skipped"; fi
	@touch $@
