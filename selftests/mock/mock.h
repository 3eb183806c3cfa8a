/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * myepoll_mock - a file whose poll() and wake-ups do what a test orders
 *
 * Every open() of /dev/myepoll_mock is an object of its own with MOCK_HEADS
 * wait-queue heads that live as long as the file, and one more,
 * MOCK_HEAD_FREEABLE, that MOCK_IOC_POLLFREE destroys while the file is open,
 * the way signalfd's and binder's heads go away.
 *
 * A new object registers on head 0 and reports no event.  Its poll() does, in
 * this order: pass each head named by MOCK_IOC_HEADS to poll_wait(); take the
 * value to return, if MOCK_SLOW_STALE; sleep as MOCK_IOC_SLOW orders; take the
 * value now, if not MOCK_SLOW_STALE; return it.
 *
 * Shared between the module and the tests.  It is no stable interface.
 */
#ifndef SELFTESTS_MOCK_H
#define SELFTESTS_MOCK_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define MOCK_DEVICE		"/dev/myepoll_mock"

#define MOCK_HEADS		8
#define MOCK_HEAD_FREEABLE	MOCK_HEADS
#define MOCK_ALL_HEADS		(MOCK_HEADS + 1)

/* How many times one poll() may call poll_wait() */
#define MOCK_ENTRIES		128

/**
 * struct mock_heads - MOCK_IOC_HEADS: what poll() registers on
 * @count: how many of @head count, 0 to MOCK_ENTRIES
 * @head: 0 to MOCK_HEADS - 1 or MOCK_HEAD_FREEABLE; repetition is fine
 */
struct mock_heads {
	__u32 count;
	__u8 head[MOCK_ENTRIES];
};

enum mock_context {
	MOCK_PROCESS,		/* within the ioctl; delay_ns must be 0 */
	MOCK_HARDIRQ,		/* expiry of a timer, in hard interrupt */
	MOCK_SOFTIRQ,		/* expiry of a timer, in soft interrupt */
	MOCK_IRQ_WORK,		/* self-interrupt; delay_ns must be 0 */
	MOCK_CONTEXTS,
};

/* Bits of struct mock_wake.flags */
#define MOCK_WAKE_SYNC		0x1		/* the WF_SYNC variant */
#define MOCK_WAKE_ALL		0x2		/* exclusive entries too; not with SYNC */
#define MOCK_WAKE_SET		0x4		/* store @revents first, same context */

/**
 * struct mock_wake - MOCK_IOC_WAKE: wake a head
 * @head: 0 to MOCK_HEADS - 1; MOCK_HEAD_FREEABLE with MOCK_PROCESS only
 * @key: what the wake-up says, an EPOLL* mask or 0
 * @revents: with MOCK_WAKE_SET, what poll() returns from now on
 * @context: enum mock_context
 * @flags: MOCK_WAKE_* bits
 * @reserved: must be 0
 * @delay_ns: how long from now, below 10 s
 *
 * Each context but MOCK_PROCESS holds one order at a time (EBUSY); the call
 * does not wait for it, struct mock_stat.wakes tells when it has been done.
 */
struct mock_wake {
	__u32 head;
	__u32 key;
	__u32 revents;
	__u32 context;
	__u32 flags;
	__u32 reserved;
	__u64 delay_ns;
};

enum mock_slow_mode {
	MOCK_SLOW_OFF,
	MOCK_SLOW_MS,		/* poll() sleeps for @ms */
	MOCK_SLOW_HOLD,		/* poll() sleeps until MOCK_IOC_RELEASE */
	MOCK_SLOW_MODES,
};

/* Bits of struct mock_slow.flags */
#define MOCK_SLOW_STALE		0x1		/* value taken before the sleep */
#define MOCK_SLOW_REGISTER	0x2		/* polls that register sleep */
#define MOCK_SLOW_QUERY		0x4		/* polls that only ask sleep */

/**
 * struct mock_slow - MOCK_IOC_SLOW: make poll() sleep
 * @mode: enum mock_slow_mode
 * @flags: MOCK_SLOW_* bits; REGISTER, QUERY or both unless @mode is OFF
 * @ms: with MOCK_SLOW_MS, 1 to 10000; else 0
 * @count: how many polls, the later ones are quick again; 0 for all
 *
 * The sleep ends early if the sleeper is killed.
 */
struct mock_slow {
	__u32 mode;
	__u32 flags;
	__u32 ms;
	__u32 count;
};

/**
 * struct mock_stat - MOCK_IOC_STAT
 * @polls: calls of poll()
 * @registering: those that came with a queue procedure
 * @wakes: wake-ups done, indexed by context
 * @odd_context: wake-ups that found themselves in another context than asked
 * @last_key: pt->_key of the last poll(), 0 if it came without a table
 * @sleeping: polls asleep now
 * @leaked: objects of the whole module closed with an entry left on a head
 * @entries: wait entries on each head
 * @exclusive: those of them that are exclusive
 */
struct mock_stat {
	__u64 polls;
	__u64 registering;
	__u64 wakes[MOCK_CONTEXTS];
	__u64 odd_context;
	__u64 last_key;
	__u32 sleeping;
	__u32 leaked;
	__u32 entries[MOCK_ALL_HEADS];
	__u32 exclusive[MOCK_ALL_HEADS];
};

#define MOCK_IOC_TYPE		0xE8

/* What poll() returns; the argument is the mask itself */
#define MOCK_IOC_SET		_IO(MOCK_IOC_TYPE, 0x00)
#define MOCK_IOC_HEADS		_IOW(MOCK_IOC_TYPE, 0x01, struct mock_heads)
#define MOCK_IOC_WAKE		_IOW(MOCK_IOC_TYPE, 0x02, struct mock_wake)
#define MOCK_IOC_SLOW		_IOW(MOCK_IOC_TYPE, 0x03, struct mock_slow)
/* Let every poll() asleep now go on */
#define MOCK_IOC_RELEASE	_IO(MOCK_IOC_TYPE, 0x04)
/* Destroy the freeable head; ENXIO if that has been done */
#define MOCK_IOC_POLLFREE	_IO(MOCK_IOC_TYPE, 0x05)
#define MOCK_IOC_STAT		_IOR(MOCK_IOC_TYPE, 0x06, struct mock_stat)
/* Stop function tracing until the next boot; the argument must be the magic */
#define MOCK_IOC_FTRACE_KILL	_IO(MOCK_IOC_TYPE, 0x07)
#define MOCK_FTRACE_KILL_MAGIC	0x6b696c6c

#endif /* SELFTESTS_MOCK_H */
