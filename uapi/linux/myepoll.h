/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * myepoll - a second epoll beside the native one, on /dev/myepoll
 *
 * INSTANCE
 *	Every open() of /dev/myepoll is an event-poll instance of its own, what
 *	epoll_create1() returns for native epoll.  O_CLOEXEC works as for any
 *	open().  The access mode does not matter.  MYEPOLL_IOC_CREATE on any
 *	instance returns a further one; use it where the device node is out of
 *	sight.  An instance lives until its last descriptor is closed.
 *	poll(), select(), native epoll, libaio and io_uring accept an instance
 *	as a file to be polled: it is readable while it has an event to report.
 *
 * EVENTS
 *	struct epoll_event and the EPOLL* bits are the kernel's own, from
 *	<linux/eventpoll.h>, with the meaning of epoll_ctl(2).
 *
 * ERRORS
 *	Every call fails with -1 and errno, and a call that fails has changed
 *	nothing, except for BATCH, which says what it has changed.  Errors common
 *	to all calls:
 *	EBADF	the descriptor is not open
 *	ENOTTY	the number is not one of those below
 *	EFAULT	the argument structure cannot be read (PROBE, BATCH: or written)
 *	EINVAL	a reserved field, or a flag bit not named here, is not zero; or
 *		the structure is smaller than in this header
 *	E2BIG	the structure is larger than this kernel knows and the unknown
 *		part of it is not zero
 *
 * GROWTH
 *	The size of a structure is part of the ioctl number.  A structure may
 *	get new fields at its end; 0 there always means the old behaviour.  The
 *	kernel takes smaller (older) structures, down to the size they have in
 *	this first version, and larger (newer) ones whose unknown part is zero.
 *	The busy-poll calls are native epoll's and have one size only (ENOTTY).
 *
 * NUMBERS
 *	The type byte is 0xE7, which the kernel's table of ioctl numbers
 *	(Documentation/userspace-api/ioctl/ioctl-number.rst) lists for nobody.
 *	The busy-poll calls carry the numbers native epoll gives them since
 *	Linux 6.9, EPIOCSPARAMS and EPIOCGPARAMS, so that programs written for
 *	these need no change.
 */
#ifndef _UAPI_LINUX_MYEPOLL_H
#define _UAPI_LINUX_MYEPOLL_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* The version of this interface; it rises only if a program could break. */
#define MYEPOLL_ABI_VERSION	1

/* The device node, as devtmpfs makes it. */
#define MYEPOLL_DEVICE		"/dev/myepoll"

/* Bits of struct myepoll_probe.features */
#define MYEPOLL_FEATURE_BUSY_POLL	(1ULL << 0)	/* EPIOC[SG]PARAMS work */
#define MYEPOLL_FEATURE_WAKEUP		(1ULL << 1)	/* EPOLLWAKEUP is honoured */
#define MYEPOLL_FEATURE_BATCH		(1ULL << 2)	/* MYEPOLL_IOC_BATCH works */

/**
 * struct myepoll_probe - MYEPOLL_IOC_PROBE: what this module can do
 * @abi_version: out: MYEPOLL_ABI_VERSION of the running module
 * @reserved: out: 0
 * @features: out: MYEPOLL_FEATURE_* bits
 *
 * Returns 0.  The call is safe on any descriptor: whoever does not know it
 * answers ENOTTY or EINVAL, so it also tells our instances from other files.
 */
struct myepoll_probe {
	__u32 abi_version;
	__u32 reserved;
	__u64 features;
};

/**
 * struct myepoll_create - MYEPOLL_IOC_CREATE: a new instance
 * @flags: in: 0 or EPOLL_CLOEXEC (= O_CLOEXEC)
 * @reserved: in: must be 0
 *
 * Returns the descriptor of a new instance, an anonymous file "[myepoll]".
 * Errors: EINVAL, ENOMEM, EMFILE (RLIMIT_NOFILE), ENFILE; ENODEV if the
 * kernel can no longer tell the module about the last close of a file (see
 * docs/design.md, "Last close"), with a line in the kernel log.
 */
struct myepoll_create {
	__u32 flags;
	__u32 reserved;
};

/**
 * struct myepoll_ctl - MYEPOLL_IOC_CTL: epoll_ctl(2)
 * @op: in: EPOLL_CTL_ADD, EPOLL_CTL_MOD or EPOLL_CTL_DEL
 * @fd: in: descriptor of the file to watch
 * @event: in: address of a struct epoll_event; not looked at by DEL
 * @flags: in: must be 0
 * @reserved: in: must be 0
 *
 * Returns 0.  Errors, in the order in which they are looked for:
 * EINVAL	@flags or @reserved is not 0
 * EFAULT	@op is not DEL and @event cannot be read
 * EBADF	@fd is not open, or is an O_PATH descriptor
 * EPERM	the file cannot be polled (regular file, directory, ...)
 * EINVAL	@fd is this very instance; EPOLLEXCLUSIVE with MOD, or on ADD with
 *		another instance or with bits other than EPOLLIN, EPOLLOUT,
 *		EPOLLERR, EPOLLHUP, EPOLLWAKEUP and EPOLLET
 * ELOOP	ADD: the file is a native epoll instance, or would close a loop of
 *		instances or make a chain of more than 5
 * EEXIST	ADD: @fd with this file is watched already
 * ENOENT	MOD, DEL: @fd with this file is not watched
 * EINVAL	MOD: the watch was added with EPOLLEXCLUSIVE; unknown @op;
 *		ADD: too many wake-up paths from one file through instances
 * ENOSPC	ADD: the user who made the instance is at
 *		fs.myepoll.max_user_watches, or the file is watched
 *		fs.myepoll.max_file_watches times already
 * ENOMEM	out of memory
 */
struct myepoll_ctl {
	__s32 op;
	__s32 fd;
	__u64 event;
	__u32 flags;
	__u32 reserved;
};

/*
 * Bits of struct myepoll_wait.flags: at most one; none of them waits for ever.
 */
/* timeout_sec and timeout_nsec say how long to wait */
#define MYEPOLL_WAIT_TIMEOUT		(1U << 0)
/* timeout_sec is the address of a struct __kernel_timespec that says so */
#define MYEPOLL_WAIT_TIMEOUT_PTR	(1U << 1)

/**
 * struct myepoll_wait - MYEPOLL_IOC_WAIT: epoll_wait, _pwait and _pwait2
 * @events: out: address of an array of struct epoll_event
 * @maxevents: in: how many the array holds
 * @flags: in: MYEPOLL_WAIT_* bits
 * @sigmask: in: 0, or the address of the signal mask to have while waiting
 * @sigsetsize: in: bytes at @sigmask, 8; not looked at if @sigmask is 0
 * @timeout_sec: in: seconds from now, or an address (flags); else must be 0
 * @timeout_nsec: in: nanoseconds, 0..999999999; must be 0 without
 *	MYEPOLL_WAIT_TIMEOUT
 *
 * The clock is CLOCK_MONOTONIC.  A timeout of 0 does not wait.  Returns the
 * number of events stored, 0 if the time was up first.  Errors, in the order
 * in which they are looked for:
 * EINVAL	a bad flag
 * EFAULT	TIMEOUT_PTR: the timespec cannot be read
 * EINVAL	the time is negative or its nanoseconds are out of range
 * EINVAL	@sigmask is given and @sigsetsize is not 8
 * EFAULT	@sigmask cannot be read
 * EINVAL	@maxevents is below 1 or above INT_MAX / sizeof(struct epoll_event)
 * EFAULT	the array is not in user space; or no event could be stored
 * EINTR	a signal came before any event
 */
struct myepoll_wait {
	__u64 events;
	__s32 maxevents;
	__u32 flags;
	__u64 sigmask;
	__u64 sigsetsize;
	__s64 timeout_sec;
	__s64 timeout_nsec;
};

/**
 * struct myepoll_change - one change of a MYEPOLL_IOC_BATCH
 * @op: in: EPOLL_CTL_ADD, EPOLL_CTL_MOD or EPOLL_CTL_DEL
 * @fd: in: descriptor of the file to watch
 * @events: in: EPOLL* bits; not looked at by DEL
 * @reserved: in: must be 0
 * @data: in: the user data of struct epoll_event; not looked at by DEL
 */
struct myepoll_change {
	__s32 op;
	__s32 fd;
	__u32 events;
	__u32 reserved;
	__u64 data;
};

/* So many changes of a batch are made, whatever signal comes. */
#define MYEPOLL_BATCH_WHOLE		1024

/**
 * struct myepoll_batch - MYEPOLL_IOC_BATCH: changes, and a wait, in one call
 * @changes: in: address of an array of struct myepoll_change
 * @nr: in: how many it holds; 0 is allowed
 * @done: out: how many changes were made
 * @wait: in: 0: do not wait; or the address of a struct myepoll_wait
 * @waitsize: in: bytes at @wait, sizeof(struct myepoll_wait); not looked at if
 *	@wait is 0
 * @reserved: in: must be 0
 *
 * Makes the changes in their order, each as MYEPOLL_IOC_CTL does, up to the first
 * that fails.  If all were made, waits as MYEPOLL_IOC_WAIT does.  Nothing keeps
 * other threads out between one change and the next.  The time of the wait runs,
 * and its signal mask is in place, from before the first change.
 *
 * Returns the number of events stored; 0 if the time was up first, or without
 * @wait.  If a change fails, the call fails with its error and does not wait:
 * those before it stay made, and @done is its index.  If @done is @nr, an error
 * is that of the wait.  Errors, in the order in which they are looked for:
 * EINVAL	@reserved is not 0, or @nr is above INT_MAX /
 *		sizeof(struct myepoll_change)
 * EFAULT	@changes is not in user space
 * EINVAL	@waitsize is smaller than in this header
 * E2BIG	@waitsize is above 4096
 * E2BIG	@waitsize is larger than this kernel knows and the unknown part is
 *		not zero
 * EFAULT	@wait cannot be read
 * Then those that MYEPOLL_IOC_WAIT finds before it waits; up to here nothing has
 * changed, and @done is 0 (it is left alone only by the errors common to all
 * calls).  Then, for each change:
 * EINTR	a signal came, and a multiple of MYEPOLL_BATCH_WHOLE changes have
 *		been made, but not 0: the rest may be made by another call; or a
 *		fatal signal came
 * EFAULT	it cannot be read
 * EINVAL	its @reserved is not 0
 * and those of MYEPOLL_IOC_CTL.  Then:
 * EFAULT	@done can no longer be written
 * and what a wait may end with.
 */
struct myepoll_batch {
	__u64 changes;
	__u32 nr;
	__u32 done;
	__u64 wait;
	__u32 waitsize;
	__u32 reserved;
};

/**
 * struct myepoll_params - busy polling of network queues, as struct epoll_params
 * @busy_poll_usecs: how long a wait spins on the network queue, microseconds;
 *	0 (the default) turns it off
 * @busy_poll_budget: packets a round; 0 means the kernel's default of 8; over
 *	64 needs CAP_NET_ADMIN (EPERM)
 * @prefer_busy_poll: 0 or 1: keep the device's interrupts off in between
 * @pad: must be 0
 *
 * Errors: EFAULT, EINVAL (range, padding), EPERM, EOPNOTSUPP if the kernel is
 * built without CONFIG_NET_RX_BUSY_POLL.
 */
struct myepoll_params {
	__u32 busy_poll_usecs;
	__u16 busy_poll_budget;
	__u8 prefer_busy_poll;
	__u8 pad;
};

#define MYEPOLL_IOC_TYPE	0xE7

#define MYEPOLL_IOC_PROBE	_IOR(MYEPOLL_IOC_TYPE, 0x00, struct myepoll_probe)
#define MYEPOLL_IOC_CREATE	_IOW(MYEPOLL_IOC_TYPE, 0x01, struct myepoll_create)
#define MYEPOLL_IOC_CTL		_IOW(MYEPOLL_IOC_TYPE, 0x02, struct myepoll_ctl)
#define MYEPOLL_IOC_WAIT	_IOW(MYEPOLL_IOC_TYPE, 0x03, struct myepoll_wait)
#define MYEPOLL_IOC_BATCH	_IOWR(MYEPOLL_IOC_TYPE, 0x04, struct myepoll_batch)

/* Native epoll's own numbers: EPIOCSPARAMS and EPIOCGPARAMS */
#define MYEPOLL_IOC_SPARAMS	_IOW(0x8A, 0x01, struct myepoll_params)
#define MYEPOLL_IOC_GPARAMS	_IOR(0x8A, 0x02, struct myepoll_params)

#endif /* _UAPI_LINUX_MYEPOLL_H */
