# SPDX-License-Identifier: Apache-2.0
# Thin: meson and ninja do the work. Settings such as KEEP=1 pass through the environment.
export
BUILD ?= build
PYTHON := /usr/bin/python3
MESON := $(PYTHON) /usr/bin/meson
NINJA := ninja

.PHONY: all test demo bench sim model mutants clean
all: $(BUILD)/build.ninja
	$(NINJA) -C $(BUILD)

$(BUILD)/build.ninja: deps
	test -f $@ || $(MESON) setup $(BUILD)

.PHONY: deps
deps:
	tools/install-deps

test: deps
	$(PYTHON) tools/run-tests

# Worlds from seeds FIRST .. FIRST+SEEDS-1; NVES and VMS fix their size (0: by the seed).
sim: $(BUILD)/build.ninja
	$(NINJA) -C $(BUILD) test/sim/sim
	exec $(BUILD)/test/sim/sim --seeds $(or $(SEEDS),1000) --first $(or $(FIRST),1) \
		--nves $(or $(NVES),0) --vms $(or $(VMS),0) --jobs $(or $(JOBS),2) --stats --coverage \
		$(if $(PROFILE),--profile $(PROFILE)) --out $(BUILD)

# Every variant of the models (doc/model.md), those that lack a rule among them.
model: deps
	exec test/model/run --jobs $(or $(JOBS),2)

# Takes each rule of hot migration out of a copy: a test must fail.
mutants: deps
	exec tools/mutants --jobs $(or $(JOBS),2)

demo: all
	exec $(PYTHON) lab/demo.py

bench: all
	exec $(PYTHON) test/bench/run.py

clean:
	rm -rf build build-san
