# SPDX-License-Identifier: GPL-2.0-only
#
# make help tells what there is.  kbuild reads Kbuild, not this file.

KDIR ?= /lib/modules/$(shell uname -r)/build
BUILD := build
VM := scripts/vm
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

# The kernel series to test on; empty: what Debian's linux-image-amd64 is.
KERNEL ?=
KERNEL_OPT := $(if $(KERNEL),--kernel $(KERNEL))

# Programs to run, and seconds for each: make check TESTS="ctl wait"
TESTS ?=
TEST_TIMEOUT ?= 240
CHECK_TIMEOUT ?= 900

# make fuzz SECONDS=600 SEED=7, make soak MINUTES=60
SECONDS ?= 60
SEED ?=
MINUTES ?= 10

ifeq ($(V),1)
Q :=
VERBOSE := -v
else
Q := @
VERBOSE :=
MAKEFLAGS += --no-print-directory
endif
export V

.DEFAULT_GOAL := all
.PHONY: matrix deb check-deb check-tree peers peers-suites lib lib-tests install uninstall bench bench-quick fuzz soak model mutants attack check-debug all help setup run check vm lint load unload clean selftests

all: $(KDIR)/Makefile
	$(Q)$(MAKE) -C $(KDIR) M=$(CURDIR) modules

$(KDIR)/Makefile:
	@echo "There are no headers of the running kernel in $(KDIR)." >&2
	@echo "Install linux-headers-$$(uname -r), or set KDIR=, or test in a" >&2
	@echo "virtual machine that brings its own kernel: make check" >&2
	@false

help:
	@echo "make            build myepoll.ko for the running kernel (KDIR=$(KDIR))"
	@echo "make run        build, boot a VM, run the server under load in it"
	@echo "make check      build, boot a VM, run all tests in it"
	@echo "make model      the models of the engine, and mutations they must catch"
	@echo "make check-debug  the tests on kernels with KASAN, lockdep, KCSAN"
	@echo "make matrix     the tests on other kernels, compilers, arm64 (ONLY='6.12 arm64')"
	@echo "make mutants    faults put into the module, each must be caught"
	@echo "make attack     what an unprivileged program can hold up, and how long"
	@echo "make fuzz       random programs on both epolls, compared (SECONDS= SEED=)"
	@echo "make soak       connections come and go, nothing is lost (MINUTES=)"
	@echo "make bench      native and myepoll measured in turn, into out/ (ONLY= COMPARE=)"
	@echo "make bench-quick  in two minutes, less exact, into out/quick/"
	@echo "make vm         a shell in a VM with the module loaded"
	@echo "make lint       style, sparse, extra warnings, scripts"
	@echo "make peers      ten programs on the module, beside native epoll"
	@echo "                (CPUS=2: on that many real ones, a table of its own)"
	@echo "make peers-suites  the tests of others for epoll, on both"
	@echo "make lib        the libraries and the myepoll command"
	@echo "make install    install them, headers, manual pages (PREFIX= LIBDIR= DESTDIR=)"
	@echo "make uninstall  take them away again, with the same variables"
	@echo "make deb        Debian packages, into out/deb; make check-deb installs, uses"
	@echo "                and removes them in a file system of their own and in VMs (root)"
	@echo "make check-tree  the module as part of a kernel tree: scripts/kernel-patch"
	@echo "make load       insmod on this host (root), make unload: rmmod"
	@echo "make setup      install the host packages that are missing (root)"
	@echo "make clean      remove everything built (the cache stays)"
	@echo
	@echo "V=1 shows commands.  KERNEL=6.12 picks another Debian kernel for the VM."
	@echo "TESTS='ctl wait' picks programs for check, TEST_TIMEOUT=S their time."
	@echo "Kernels are kept in \$$MYEPOLL_CACHE, else ~/.cache/myepoll."

setup:
	$(Q)scripts/setup

# kselftest.h and the wake-up test come from the kernel's source package.
selftests: setup
	$(Q)$(VM) fetch $(KERNEL_OPT) --quiet
	$(Q)$(MAKE) -C selftests BUILD=$(CURDIR)/$(BUILD)/selftests

run: setup
	$(Q)scripts/run-server

lib:
	$(Q)$(MAKE) -C lib OUT=$(CURDIR)/$(BUILD)/lib

lib-tests: selftests lib
	$(Q)$(MAKE) -C lib/tests OUT=$(CURDIR)/$(BUILD)/selftests-lib LIB=$(CURDIR)/$(BUILD)/lib

# PREFIX, LIBDIR, DESTDIR and the like come from the command line.
install uninstall:
	$(Q)$(MAKE) -C lib $@ OUT=$(CURDIR)/$(BUILD)/lib

peers: setup
	$(Q)scripts/peers --write $(KERNEL_OPT) $(if $(CPUS),--cpus $(CPUS))

peers-suites: setup
	$(Q)scripts/peers-suites --write $(KERNEL_OPT)

check: selftests lib-tests
	$(Q)scripts/check $(VERBOSE) $(KERNEL_OPT) --timeout $(TEST_TIMEOUT) \
		--vm-timeout $(CHECK_TIMEOUT) $(TESTS)

deb:
	$(Q)scripts/deb

check-deb: deb
	$(Q)scripts/check-deb

check-tree: setup
	$(Q)scripts/setup --tree
	$(Q)scripts/check-tree

model: setup
	$(Q)model/run

check-debug: selftests lib-tests
	$(Q)scripts/setup --debug
	$(Q)scripts/check-debug $(TESTS)

matrix: selftests lib-tests
	$(Q)scripts/setup --matrix
	$(Q)scripts/matrix $(if $(ONLY),--only $(ONLY))

mutants: selftests
	$(Q)scripts/setup --debug
	$(Q)scripts/mutants

attack: selftests
	$(Q)$(VM) run --icount --mem 8192 --timeout 900 --append preempt=full \
		--env MYEPOLL_TEST_ATTACK=1 \
		--add $(BUILD)/selftests/attack -- attack

fuzz: setup
	$(Q)scripts/fuzz $(KERNEL_OPT) --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

soak: setup
	$(Q)scripts/soak $(KERNEL_OPT) --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

# COMPARE=old.json shows what has changed, CPUS=N gives the VM more CPUs.
BENCH_OPT = $(KERNEL_OPT) $(if $(COMPARE),--compare $(COMPARE)) \
	$(if $(CPUS),--cpus $(CPUS)) $(if $(ONLY),--only $(ONLY))

bench: setup
	$(Q)scripts/setup --bench
	$(Q)scripts/bench $(BENCH_OPT)

bench-quick: setup
	$(Q)scripts/setup --bench
	$(Q)scripts/bench --quick $(BENCH_OPT)

vm: selftests
	$(Q)$(VM) shell $(KERNEL_OPT) --mock --add $(BUILD)/selftests:/vm/selftests

lint: setup
	$(Q)scripts/lint

load: all
	$(Q)$(SUDO) insmod myepoll.ko

unload:
	$(Q)$(SUDO) rmmod myepoll

# Without the headers there is nothing kbuild could have made.
clean:
	$(Q)if [ -e $(KDIR)/Makefile ]; then $(MAKE) -C $(KDIR) M=$(CURDIR) clean; fi
	$(Q)rm -rf $(BUILD)
