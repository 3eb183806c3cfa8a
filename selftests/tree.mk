# SPDX-License-Identifier: GPL-2.0-only
#
# Included by the Makefile where this is tools/testing/selftests/myepoll of a
# kernel tree, with the module in that kernel:
#
#	make headers && make -C tools/testing/selftests TARGETS=myepoll run_tests

CFLAGS += -std=gnu11 -O2 -g -Wall -Wextra -Wno-unused-parameter \
	  -Wno-missing-field-initializers -I. -I.. -Imock $(KHDR_INCLUDES)
LDLIBS += -pthread

# These load modules, from the files that MYEPOLL_KO and MYEPOLL_MOCK_KO name.
# make -C mock builds the mock device.
WITH_MODULES := $(patsubst %.c,%,$(shell grep -lE 'mockuse\.h|_ko\(\)' *.c))
# This one needs a machine of its own, and says so.
ALONE := attack
M32 := $(shell echo 'int main(void) { return 0; }' | \
	$(CC) -m32 -x c -o /dev/null - 2>/dev/null && echo compat32)
$(if $(M32),,$(info myepoll: compat32 is left out: $(CC) -m32 does not link))

TEST_GEN_PROGS := $(filter-out $(WITH_MODULES) $(ALONE) compat32, \
		  $(patsubst %.c,%,$(wildcard *.c))) $(M32) wakeup_myepoll
TEST_GEN_PROGS_EXTENDED := $(WITH_MODULES) $(ALONE)
# Since Linux 6.9 lib.mk builds and installs these, too.
TEST_GEN_MODS_DIR := mock
LOCAL_HDRS := $(wildcard *.h mock/*.h)

include ../lib.mk

$(OUTPUT)/compat32: CFLAGS += -m32

# The kernel's own test, with its epoll calls turned to the module.
$(OUTPUT)/wakeup_myepoll: ../filesystems/epoll/epoll_wakeup_test.c wakeup_map.h
	$(CC) $(CFLAGS) -w -include wakeup_map.h $< $(LDFLAGS) $(LDLIBS) -o $@
