/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The layout of the ABI, in numbers, for programs of 64 and of 32 bits: what is
 * written here can no longer change.
 */
#ifndef SELFTESTS_LAYOUT_H
#define SELFTESTS_LAYOUT_H

#include <assert.h>
#include <stddef.h>
#include <sys/epoll.h>

#include <linux/myepoll.h>

#define AT(type, field, offset) \
	static_assert(offsetof(struct type, field) == (offset), #type "." #field)

static_assert(sizeof(struct myepoll_probe) == 16, "probe");
AT(myepoll_probe, abi_version, 0);
AT(myepoll_probe, reserved, 4);
AT(myepoll_probe, features, 8);

static_assert(sizeof(struct myepoll_create) == 8, "create");
AT(myepoll_create, flags, 0);
AT(myepoll_create, reserved, 4);

static_assert(sizeof(struct myepoll_ctl) == 24, "ctl");
AT(myepoll_ctl, op, 0);
AT(myepoll_ctl, fd, 4);
AT(myepoll_ctl, event, 8);
AT(myepoll_ctl, flags, 16);
AT(myepoll_ctl, reserved, 20);

static_assert(sizeof(struct myepoll_wait) == 48, "wait");
AT(myepoll_wait, events, 0);
AT(myepoll_wait, maxevents, 8);
AT(myepoll_wait, flags, 12);
AT(myepoll_wait, sigmask, 16);
AT(myepoll_wait, sigsetsize, 24);
AT(myepoll_wait, timeout_sec, 32);
AT(myepoll_wait, timeout_nsec, 40);

static_assert(sizeof(struct myepoll_change) == 24, "change");
AT(myepoll_change, op, 0);
AT(myepoll_change, fd, 4);
AT(myepoll_change, events, 8);
AT(myepoll_change, reserved, 12);
AT(myepoll_change, data, 16);

static_assert(sizeof(struct myepoll_batch) == 32, "batch");
AT(myepoll_batch, changes, 0);
AT(myepoll_batch, nr, 8);
AT(myepoll_batch, done, 12);
AT(myepoll_batch, wait, 16);
AT(myepoll_batch, waitsize, 24);
AT(myepoll_batch, reserved, 28);

static_assert(sizeof(struct myepoll_params) == 8, "params");
AT(myepoll_params, busy_poll_usecs, 0);
AT(myepoll_params, busy_poll_budget, 4);
AT(myepoll_params, prefer_busy_poll, 6);
AT(myepoll_params, pad, 7);

static_assert(MYEPOLL_IOC_PROBE == 0x8010e700, "PROBE");
static_assert(MYEPOLL_IOC_CREATE == 0x4008e701, "CREATE");
static_assert(MYEPOLL_IOC_CTL == 0x4018e702, "CTL");
static_assert(MYEPOLL_IOC_WAIT == 0x4030e703, "WAIT");
static_assert(MYEPOLL_IOC_BATCH == 0xc020e704, "BATCH");
static_assert(MYEPOLL_IOC_SPARAMS == 0x40088a01, "SPARAMS");
static_assert(MYEPOLL_IOC_GPARAMS == 0x80088a02, "GPARAMS");

static_assert(MYEPOLL_BATCH_WHOLE == 1024, "BATCH_WHOLE");
static_assert(MYEPOLL_WAIT_TIMEOUT == 1, "TIMEOUT");
static_assert(MYEPOLL_WAIT_TIMEOUT_PTR == 2, "TIMEOUT_PTR");

#ifdef __x86_64__
static_assert(sizeof(struct epoll_event) == 12, "epoll_event");
#endif

#endif /* SELFTESTS_LAYOUT_H */
