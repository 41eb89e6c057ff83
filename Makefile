# SPDX-License-Identifier: Apache-2.0
# Thin: meson and ninja do the work. Settings such as KEEP=1 pass through the environment.
export
BUILD ?= build
PYTHON := /usr/bin/python3
MESON := $(PYTHON) /usr/bin/meson
NINJA := ninja

.PHONY: all test demo bench model sim clean
all: $(BUILD)/build.ninja
	$(NINJA) -C $(BUILD)

$(BUILD)/build.ninja: deps
	test -f $@ || $(MESON) setup $(BUILD)

.PHONY: deps
deps:
	tools/install-deps

test: deps
	$(PYTHON) tools/run-tests

sim: deps
	$(PYTHON) tools/run-tests --only sim

demo: all
	exec $(PYTHON) lab/demo.py

bench: all
	exec $(PYTHON) test/bench/run.py

model: deps
	exec test/model/run

clean:
	rm -rf build build-san
