/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * myepoll: what the files of the module share.
 *
 * OVERVIEW
 * ========
 * An *instance* is an open file of ours.  It holds *watches*; a watch is one
 * (file, descriptor number) pair with an event mask and user data, hooked into
 * the wait queues of the file.  One *table* has the watches of all instances,
 * by file.  When the file wakes its wait queue, the *callback* of the watch puts
 * it on a *lane*, a ready queue of the instance.  A *pass* (one call to wait)
 * claims watches from the lanes, asks each file what is ready, reports that, and
 * settles the claims.
 *
 * "Model: STEP in FILE" in a comment names the step of the Promela models in
 * model/ that stands for the code below it; "make model" checks them.
 *
 * The files, each with one concern:
 *	main.c		init and exit
 *	instance.c	an instance: birth and death
 *	device.c	file operations, ioctls that are not called often
 *	ioctl.c		the others, and all ioctl arguments
 *	ctl.c		ADD, MOD, DEL
 *	table.c		file -> watches, of all instances; removal of a watch
 *	members.c	all watches of one instance, and walks over them
 *	watch.c		a watch: memory, wait queue hooks, callback
 *	lane.c		a lane: push, claim, settle
 *	lanes.c		all lanes: growth, "is anything ready"
 *	pass.c		evaluation of claimed watches, delivery, poll() on us
 *	wait.c		sleeping, timeouts, signals
 *	nest.c		instances inside instances
 *	pm.c		EPOLLWAKEUP
 *	busy.c		busy polling
 *	limits.c	sysctls, the count of watches of each user
 *	fdinfo.c	/proc/PID/fdinfo
 *	release.c	how the last close of a file comes to our notice
 *	compat.h	differences between kernel versions
 *
 * STATES OF A WATCH
 * =================
 * mye_watch.state:
 *
 *	        callback, MOD                  pass, poll
 *	IDLE ------------------> QUEUED -----------------> CLAIMED
 *	  ^                        ^                        |   |
 *	  |                        |    settle: requeue     |   |
 *	  |                        +------------------------+   |
 *	  +-----------------------------------------------------+
 *	                    settle: drop
 *
 *	IDLE	on no lane; the next event queues it.
 *	QUEUED	on the lane mye_watch.lane, in its inbox or its FIFO.
 *	CLAIMED	on no lane; belongs to one thread, which alone may touch the
 *		fields marked "claim".  ADD creates a watch in this state, so
 *		nobody reports it before ADD settles it; MOD and DEL do not see
 *		it before it is published, and another ADD of it waits for that.
 *	AGAIN	bit beside CLAIMED: an event came meanwhile.  Settle turns it
 *		into a requeue, always: it is never discarded.
 *	ORPHAN	bit beside CLAIMED: the watch was removed meanwhile, and the
 *		claimer drops the reference that the table had.
 *
 * IDLE -> QUEUED, and the two bits, are compare-and-swap by anybody.
 * QUEUED -> CLAIMED and everything else that leaves QUEUED happens under the
 * lock of the lane.  CLAIMED is left only by the claimer.
 *
 * LOCKING
 * =======
 * In this order; a lock may be taken while holding one further up:
 *
 *	instance.show_lock	mutex: walks of fdinfo
 *	mye_nest_lock		mutex, global: links between instances
 *	instance.grow_lock	mutex: making of what few instances need,
 *				EPOLLWAKEUP
 *	mye_users_lock		mutex, global: accounts of users
 *	lane.lock		mutex: FIFO, counts
 *	bucket.lock		spinlock: a bucket of the table, removal
 *	  watch.lock		spinlock: mask, data, seq, dead
 *	  lane.members_lock	spinlock: members of an instance
 *	mye_pm.lock		spinlock: wake-up source of an instance
 *	wait queue head of the target file (irq)
 *	instance.settled.lock (irq)	callers that wait for a settle; leaf
 *	instance.wq.lock (irq)	waiters; leaf
 *	instance.pwq.lock (irq)	who polls us.  Held for a walk by one thread at a
 *				time, whom nobody waits for (poll_due), and
 *				who may take other queues' locks from there
 *
 * The callback runs under the target's wait queue head, in any context, and
 * takes only the last three.  So the spinlocks above them are never taken in
 * an interrupt and do not disable them; they are spinlocks because the last
 * close of a file is told to us in atomic context.  lane.lock is a mutex: an
 * inbox may hold as many watches as a user may have.  poll() of a file is
 * called with no lock held, as it may sleep.
 *
 * REFERENCES
 * ==========
 *	watch	one for the table, taken over by the claimer with ORPHAN; who
 *		found it there (MOD, a second ADD), walks over the members
 *		(fdinfo, the instance's release, nest.c) and the list of late
 *		files take their own.  Lanes and claims own none: who removes a
 *		watch does not let go of one there.
 *	instance the file, each watch on its reap list, each watch of another
 *		instance that watches it, poll_work while it has to run.
 *	file	none.  A pass pins it while it calls poll(), ADD, MOD and DEL for their
 *		time; what may sleep afterwards leaves a last one to a worker.
 *
 * None of it needs a grace period: who comes to a watch without a reference is
 * on a wait queue that the watch is hooked into, or holds a lock under which it
 * is not dead; and a watch that is not dead has an instance.  The close of an
 * instance takes the lock under which its last member left.
 *
 * REMOVAL
 * =======
 *	A	DEL
 *	B	last close of the instance
 *	C	last close of the watched file
 *	D	ADD that fails half-way
 *
 * mye_watch_kill() decides, under bucket.lock, who removes a watch: it marks
 * it dead, takes it off all wait queues, out of the table and the members, and
 * gives back the user's count.  Whoever loses has waited for bucket.lock and so
 * returns after all that is done.  From here on nobody can push the watch: callbacks are
 * gone, MOD checks "dead" under watch.lock, a pass that pins finds it dead.
 * Then mye_watch_finish() deals with the state, under the lane's lock:
 *	QUEUED	it unlinks the watch from the lane
 *	CLAIMED	it sets ORPHAN and the claimer does the rest
 * and drops the table's reference.  Path C is atomic context and must not walk
 * an inbox: unless the watch is IDLE it puts it on instance.reap, and work in
 * process context finishes it.  Path B runs when no thread can be inside the
 * instance; only C can run beside it.
 *
 * The watch of an instance is a *link* (nest.c).  mye_watch_end() takes it away,
 * after all that, and it counts for the rules of nesting as long as a wake-up
 * could go up through it, or a claimer could be inside the inner instance.
 *
 * WAKE-UP
 * =======
 * Three pairs of barriers, each store-then-load against store-then-load.  The
 * letters stand at the code.
 *
 *	(A) callback: data became ready;   barrier; look at mask and state
 *	    claimer:  state = CLAIMED;     barrier; poll()
 *	    MOD:      mask = new;          barrier; poll()
 *	    So either the callback sees the new mask and state and acts, or
 *	    poll() sees the data.  The data may be stored under the lock of the
 *	    wait queue, so that lock is no barrier here.
 *	(B) callback: watch into inbox;    barrier; anybody on wq, pwq, settled?
 *	    waiter:   onto wq or settled;  barrier; lanes empty?  sleep
 *	    poll():   onto pwq;            barrier; lanes empty?  report nothing
 *	(C) settle:   watch into FIFO;     barrier; anybody on wq?
 *	    waiter:   as in (B)
 *	    A wait that was woken and ends does as a settle does.
 *
 * Every accepted callback wakes one waiter, one caller that waits for a settle,
 * and everybody on pwq, whatever the state was.  A settle that requeues, and a
 * wait that ends, wakes one more waiter if a lane is not empty.  A waiter that
 * was taken off wq by a waker always makes a pass, even if its time is up.
 *
 * "NOTHING READY"
 * ===============
 * A level-triggered watch that is being evaluated is on no lane, yet ready.
 * So each lane counts the claims that will come back (mye_lane.claims), and
 * the instance counts AGAIN bits (mye_instance.again).  mye_look() reads
 * lanes and counts without locks between two equal sequence numbers, with
 * several lanes twice, and says EMPTY, READY or BUSY (only claims).  On BUSY a
 * caller that may not wait for events, and poll(), wait for a settle
 * (instance.settled).  Instances form no loops, not even through links that are
 * being removed, so nobody waits for itself.
 * Claims on edge-triggered and one-shot watches do not count; if one comes
 * back after all (a fault in the user's array) the pollers are woken.  MOD of
 * such a watch to a level-triggered one waits for who may be claiming it by the
 * old mask, so that it sees the claim and sets AGAIN.
 *
 * A drain moves watches from the inbox to the FIFO in several steps; "len" is
 * raised before the inbox is emptied, so that a lane that is not empty never
 * looks empty.
 *
 * POLLFREE
 * ========
 * A few wait queues die before their file does (signalfd, binder).  Their
 * owner says so by a wake-up with POLLFREE and frees them an RCU grace period
 * later.  The callback unlinks its entry and clears mye_hook.head, with release
 * order and as its last access.  Whoever unhooks a watch reads it under RCU
 * with acquire order.  POLLFREE is about one hook; the watch stays.
 */
#ifndef MYEPOLL_H
#define MYEPOLL_H

#include <linux/atomic.h>
#include <linux/cache.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/list.h>
#include <linux/llist.h>
#include <linux/mutex.h>
#include <linux/percpu_counter.h>
#include <linux/poll.h>
#include <linux/rcupdate.h>
#include <linux/refcount.h>
#include <linux/seqlock.h>
#include <linux/spinlock.h>
#include <linux/uidgid.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include <uapi/linux/eventpoll.h>

#include <linux/myepoll.h>

#include "compat.h"

/* Mask bits that are orders to us; the rest is for poll(). */
#define MYE_PRIVATE	(EPOLLWAKEUP | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE)

/* Watches claimed at once; they live on the stack of the pass. */
#define MYE_BATCH	24

/*
 * How often a call whose time is up, or poll(), asks files that have nothing for
 * it after all, while wake-ups without an event keep coming.
 */
#define MYE_VAIN_MAX	16

/* A chain of instances may have this many links, 5 instances. */
#define MYE_MAX_NESTS	4

/* Lanes an instance may have at most; power of 2. */
#define MYE_MAX_LANES	16

enum mye_state {
	MYE_IDLE	= 0,
	MYE_QUEUED	= 1,
	MYE_CLAIMED	= 2,
	MYE_AGAIN	= 4,	/* only beside CLAIMED */
	MYE_ORPHAN	= 8,	/* only beside CLAIMED */
};

/* What mye_look() found. */
enum mye_sight {
	MYE_EMPTY,	/* at one instant nothing was ready */
	MYE_READY,	/* a watch is on a lane */
	MYE_BUSY,	/* no watch is on a lane, but one may come back to it */
};

/* What a claimer wants done with a watch. */
enum mye_verdict {
	MYE_DROP,	/* to IDLE, unless AGAIN */
	MYE_BACK,	/* to the tail of its lane */
	MYE_FRONT,	/* to the head of its lane, in the old order */
};

/**
 * struct mye_lane - one ready queue of an instance
 * @inbox: pushed to by callbacks, newest first; drained under @lock
 * @hot: how often somebody met contention here; a hint, written without lock
 * @turn: calls that began here; a hint, written without lock
 * @members_lock: protects @members
 * @members: watches that were born here, newest first
 * @lock: protects what follows
 * @seq: moves with every change of what mye_look() reads
 * @fifo: ready watches, oldest first, by mye_watch.node
 * @len: watches on @fifo, and one more while the inbox is being drained
 * @claims: claims that are counted (mye_watch.counted)
 */
struct mye_lane {
	struct llist_head inbox;
	unsigned int hot;
	unsigned int turn;
	spinlock_t members_lock;	/* members */
	struct list_head members;
	struct mutex lock ____cacheline_aligned_in_smp;
	seqcount_t seq;
	struct list_head fifo;
	unsigned int len;
	unsigned int claims;
} ____cacheline_aligned_in_smp;

/**
 * struct mye_user - the watches of one user
 * @uid: key
 * @node: in the table of users, under its lock
 * @spare: in the list of accounts without an instance, under the same lock
 * @instances: how many charge to it, under the same lock
 * @watches: how many there are, split by CPU
 */
struct mye_user {
	kuid_t uid;
	struct hlist_node node;
	struct list_head spare;
	unsigned int instances;
	struct percpu_counter watches;
};

struct mye_busy;
struct mye_pm;
struct wakeup_source;

/**
 * struct mye_instance - one event poll instance
 * @lane0: the first lane
 * @nr_lanes: lanes in use, power of 2; read with acquire, grows once
 * @more: lanes 1 and up; set before @nr_lanes grows
 * @grow_lock: making of @more, @pm and @busy; sources of watches (pm.c)
 * @wq: sleeping waiters, newest first; entries are made by wait.c alone
 * @pwq: who polls this instance: select, outer instances, io_uring ...
 * @settled: callers that wait for a settle because they may not wait for
 *	events, or for an ADD of the same watch
 * @again: watches that are CLAIMED and AGAIN
 * @poll_due: wake-ups of @pwq that are due (wait.c: MYE_POLL_DUE); whoever raises
 *	it from 0 walks until it is 0 again
 * @poll_work: the worker that takes over from him
 * @watched: another instance watches this one; rises under mye_nest_lock
 * @show_lock: one reader of fdinfo at a time, or a thousand could leave a
 *	thousand marks for others to step over
 * @user: who made the instance and pays for its watches
 * @children: our watches of other instances; mye_nest_lock
 * @parents: watches of this instance by others; mye_nest_lock
 * @stamp: number of the walk @depth is valid for; mye_nest_lock
 * @depth: result of the walk for this instance; mye_nest_lock
 * @reap: dead watches that wait to be finished (REMOVAL, C)
 * @reap_work: does that
 * @pm: keeps the system awake during a pass (EPOLLWAKEUP); set once
 * @busy: busy-poll parameters; set once
 * @refs: see REFERENCES
 */
struct mye_instance {
	struct mye_lane lane0;
	unsigned int nr_lanes ____cacheline_aligned_in_smp;
	struct mye_lane *more;
	struct wait_queue_head wq;
	struct wait_queue_head pwq;
	struct wait_queue_head settled;
	atomic_t again;
	atomic64_t poll_due;
	bool watched;

	struct mutex grow_lock;		/* more, pm, busy, watch.ws */
	struct mutex show_lock;		/* walks of fdinfo */
	struct mye_user *user;
	struct list_head children;
	struct list_head parents;
	u64 stamp;
	int depth;
	struct llist_head reap;
	struct work_struct reap_work;
	struct work_struct poll_work;
	struct mye_pm *pm;
	struct mye_busy *busy;
	refcount_t refs;
};

/**
 * struct mye_hook - one entry on one wait queue of the file
 * @wait: the entry; its private field says whose it is
 * @head: the queue, NULL after POLLFREE (see there)
 * @next: further hooks of the watch; changed by ADD alone
 */
struct mye_hook {
	struct wait_queue_entry wait;
	struct wait_queue_head *head;
	struct mye_hook *next;
};

/**
 * struct mye_nest - link between an instance and one that it watches
 * @watch: the outer instance's watch
 * @child: the inner instance, referenced
 * @severed: the watch is off all wait queues; rises under bucket.lock
 * @down: in the outer instance's children; mye_nest_lock
 * @up: in @child's parents; mye_nest_lock
 */
struct mye_nest {
	struct mye_watch *watch;
	struct mye_instance *child;
	bool severed;
	struct list_head down;
	struct list_head up;
};

/**
 * struct mye_watch - one watched (file, descriptor number) pair
 * @state: enum mye_state
 * @mask: events asked for, with private bits; @lock, read freely
 * @lane: where it is queued; set by who queues it, stable while QUEUED or
 *	CLAIMED
 * @inbox: in the lane's inbox
 * @node: in the lane's FIFO (lane.lock), or in a list of the claimer (claim)
 * @instance: whose; valid while the watch is not dead, and for who removed it
 * @ws: RCU: keeps the system awake while queued (EPOLLWAKEUP);
 *	instance.grow_lock
 * @lock: protects changes of mask, data, seq, dead
 * @seq: counts changes of mask and data, twice each: odd during one
 * @data: the user's; @lock
 * @fd: descriptor number at ADD
 * @refs: see REFERENCES
 * @verdict: claim
 * @counted: claim: it is in lane.claims
 * @dead: it is being removed; @lock, rises under bucket.lock
 * @published: ADD is past the point of failure; the table shows it
 * @nested: the file is an instance
 * @home: the lane that has it as member
 * @file: the file; not referenced; may be followed if pinned under @lock
 * @nest: link to the instance that is watched, if @nested; mye_nest_lock
 * @stamp: if not: number of the walk that has counted the paths of the file;
 *	mye_nest_lock
 * @peer: in the table; bucket.lock
 * @member: in lane.members; lane.members_lock
 * @reap: in instance.reap, after it left lane.members
 * @late: in a list of late files (pass.c): its claimer's, then the worker's
 * @hook: first hook; most files need one
 */
struct mye_watch {
	atomic_t state;
	__poll_t mask;
	struct mye_lane *lane;
	union {
		struct llist_node inbox;
		struct list_head node;
	};
	struct mye_instance *instance;
	struct wakeup_source __rcu *ws;

	spinlock_t lock;	/* mask, data, seq, dead */
	u32 seq;
	u64 data;
	int fd;
	refcount_t refs;
	struct {	/* a word of its own: it may be read at once */
		u8 verdict;
		bool counted;
	} __aligned(4);
	bool dead;
	bool published;
	bool nested;
	u8 home;
	struct file *file;
	union {
		struct mye_nest *nest;
		u64 stamp;
	};
	struct hlist_node peer;
	union {
		struct list_head member;
		struct llist_node reap;
	};
	struct llist_node late;
	struct mye_hook hook;
};

/*
 * Three cache lines; native epoll takes more for each watch.  On PREEMPT_RT, where
 * nothing can be watched, a spinlock is larger.
 */
#if !defined(CONFIG_DEBUG_SPINLOCK) && !defined(CONFIG_DEBUG_LOCK_ALLOC) && \
	!defined(CONFIG_PREEMPT_RT)
static_assert(sizeof(struct mye_watch) <= 192);
#endif

static inline struct mye_nest *mye_watch_nest(struct mye_watch *w)
{
	return w->nested ? w->nest : NULL;
}

/**
 * struct mye_claims - watches that one thread has claimed
 * @list: by mye_watch.node
 * @edges: some are not counted (mye_watch.counted)
 */
struct mye_claims {
	struct list_head list;
	bool edges;
};

#define MYE_CLAIMS_INIT(name)	{ .list = LIST_HEAD_INIT((name).list) }

/**
 * struct mye_deadline - how long a wait may last
 * @at: CLOCK_MONOTONIC; 0 for a timeout of 0
 * @forever: no limit
 * @expired: the time is up; set from the beginning for a timeout of 0
 * @slept: the wait was on a queue, and may have been woken instead of another
 */
struct mye_deadline {
	ktime_t at;
	bool forever;
	bool expired;
	bool slept;
};

/* main.c */
extern struct workqueue_struct *mye_workqueue;

/* device.c, ioctl.c */
extern const struct file_operations mye_fops;
int mye_device_init(void);
void mye_device_exit(void);
struct file *mye_instance_file(struct mye_instance *inst, unsigned int flags);
int mye_create(const struct myepoll_create *create);
int mye_probe(void __user *arg, size_t usize);
int mye_params(struct mye_instance *inst, unsigned int cmd, void __user *arg);
long mye_ioctl(struct file *file, unsigned int cmd, unsigned long uarg);

/* The instance behind a file, or NULL if the file is no instance. */
static inline struct mye_instance *mye_instance_of(struct file *file)
{
	return file->f_op == &mye_fops ? file->private_data : NULL;
}

/* instance.c */
extern atomic_t mye_nr_instances;

static inline bool mye_instances_exist(void)
{
	/* None: their watches have been unhooked; pairs with the last put */
	return atomic_read_acquire(&mye_nr_instances);
}

int mye_instance_init(void);
void mye_instance_exit(void);
struct mye_instance *mye_instance_new(void);
void mye_instance_get(struct mye_instance *inst);
void mye_instance_put(struct mye_instance *inst);
void mye_instance_close(struct mye_instance *inst);
void mye_instance_reap(struct mye_watch *w);

/* ctl.c */
int mye_ctl(struct file *self, int op, int fd, struct epoll_event *event, bool stays);
int mye_ctl_add(struct mye_instance *inst, struct file *file, int fd,
		const struct epoll_event *event);

/* table.c; the members are in members.h */
int mye_table_init(void);
void mye_table_exit(void);
int mye_table_insert(struct mye_watch *w, struct mye_watch **twin);
struct mye_watch *mye_table_get(struct mye_instance *inst, struct file *file,
				int fd);
struct mye_watch *mye_table_take(struct mye_instance *inst, struct file *file,
				 int fd);
struct mye_watch *mye_table_twin(struct mye_instance *inst, struct file *file,
				 int fd);
bool mye_table_each(struct file *file,
		    bool (*visit)(struct mye_watch *w, void *arg), void *arg);
void mye_table_release(struct file *file);
bool mye_watch_kill(struct mye_watch *w);

/* watch.c */
int mye_watch_init(void);
void mye_watch_exit(void);
struct mye_watch *mye_watch_new(struct mye_instance *inst, struct file *file,
				int fd, const struct epoll_event *event);
int mye_watch_hook(struct mye_watch *w, __poll_t *revents);
void mye_watch_unhook(struct mye_watch *w);
void mye_watch_put(struct mye_watch *w);
bool mye_watch_end(struct mye_watch *w);
void mye_watch_finish(struct mye_watch *w);
void mye_watch_remove(struct mye_watch *w);
bool mye_watch_kick(struct mye_watch *w);

/* pass.c */
int mye_pass(struct mye_instance *inst, struct epoll_event __user *events,
	     int max, struct llist_head *late);
void mye_late_drop(struct llist_head *late);
void mye_late_defer(struct llist_head *late);
__poll_t mye_poll(struct file *file, struct poll_table_struct *pt);

/* wait.c */
int mye_wait(struct mye_instance *inst, struct epoll_event __user *events,
	     int max, struct mye_deadline *deadline);
bool mye_wake_one(struct mye_instance *inst, int flags);
void mye_wake_pollers(struct mye_instance *inst, __poll_t key);
void mye_pollers_work(struct work_struct *work);
void mye_wake_next(struct mye_instance *inst);
void mye_wake_left(struct mye_instance *inst);
int mye_await_settle(struct mye_instance *inst);

/* nest.c */
int mye_nest_check(struct mye_instance *inst, struct mye_instance *child);
int mye_nest_link(struct mye_watch *w, struct mye_instance *child);
void mye_nest_unlink(struct mye_watch *w);
int mye_nest_check_leaf(struct mye_watch *w);

/* limits.c */
extern unsigned long mye_max_file_watches;
unsigned long mye_default_watches(void);
int mye_limits_init(void);
void mye_limits_exit(void);
struct mye_user *mye_user_get(kuid_t uid);
void mye_user_put(struct mye_user *user);
int mye_user_charge(struct mye_user *user);
void mye_user_uncharge(struct mye_user *user);

/* fdinfo.c */
void mye_show_fdinfo(struct seq_file *m, struct file *file);

/* release.c */
int mye_release_init(void);
void mye_release_exit(void);
int mye_release_test(void);
int mye_release_check(void);

#endif /* MYEPOLL_H */
