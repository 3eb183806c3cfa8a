/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Walks over who polls an instance: mye_instance.poll_due, which is their count
 * and says who owns them, and the worker that takes over.
 *
 * Store buffers as in memory.pml, for the events.  A wake-up of the queue of who
 * polls is one step for each of them, under the lock of the queue.  M_* are
 * mutations.
 */
#define DATA(p)		(p)	/* events that this waker has made */
#define PWQ		2	/* is anybody on mye_instance.pwq? */
#define DUE		3	/* mye_instance.poll_due, its count of wake-ups */
#define URING		4	/* and of those by an io_uring */
#define PWQLK		5	/* mye_instance.pwq.lock */
#define BIT(n)		(1 << (n))

#ifndef ROUNDS
#define ROUNDS		1	/* MYE_POLL_ROUNDS */
#endif

/* What a poller is like */
#define STAYS		1	/* looks again whenever woken: an outer instance */
#define LEAVES		2	/* its time may be up at any time */

byte mem[6];
chan sb[4] = [4] of { byte, byte };
byte pwq;		/* set of pollers */
bool alive[4];		/* the entry of a poller is */
bool woken[4];
byte echoes;		/* set of those that make another event: aio and eventfd */
bool work;		/* mye_instance.poll_work is pending */
byte refs = 1;		/* mye_instance.refs; 0: it is free */

/* Ghosts */
byte made[2];		/* events */
byte walkers;
byte live;		/* processes that have not ended */
byte sleepers;		/* of these, who sleeps on pwq */
byte seen[4], seen_1[4];	/* events of waker 0, of waker 1, when it looked last */
#ifdef RING
byte asked;		/* wake-ups by an io_uring that are counted */
byte told;		/* of these, passed on as such */
#define RING_COUNTED	asked = asked + kind
#define RING_WALK	mine = asked - told
#define RING_WALKED	assert(ring || !mine); \
			told = told + (ring -> (all -> mine : 1) : 0)
#else
#define RING_COUNTED	skip
#define RING_WALK	skip
#define RING_WALKED	skip
#endif

#define STORE(a, v)	assert(nfull(sb[id])); sb[id]!(a),(v)
#define MB		empty(sb[id])
#define USE_I		assert(refs)
#define FLUSH(n)	:: d_step { sb[n]?a,v; mem[a] = v; a = 0; v = 0 }

active proctype flusher()
{
	byte a, v;
end:
	do
	FLUSH(0)
	FLUSH(1)
	FLUSH(2)
	FLUSH(3)
	od
}

/* One entry on the queue is called by mye_pollers_walk(). */
inline call(p)
{
	atomic {
		if
		:: on & BIT(p) -> assert(alive[p]); woken[p] = true;
			if
			/* mye_wake_pollers() from in here: the walk is owned */
			:: echoes & BIT(p) -> assert(mem[DUE]); mem[DUE] = mem[DUE] + 1
			:: else
			fi
		:: else
		fi
	}
}

/* mye_pollers_walk(): due is in and out, what is left */
inline pollers_walk(all)
{
	atomic {
		USE_I;
		due = mem[DUE];
		ring = mem[URING];
		walkers++;
		assert(walkers == 1);
		RING_WALK
	}
#ifndef M_WALK_NO_LOCK
	atomic { USE_I; mem[PWQLK] == 0 -> mem[PWQLK] = 1; on = pwq };
#else
	on = pwq;
#endif
	call(2);
	call(3);
	atomic { USE_I; on = 0; mem[PWQLK] = 0; RING_WALKED; walkers-- };
	atomic {
		USE_I;
		mem[URING] = mem[URING] - (all -> ring : ring > 0);
		ring = 0;
#ifdef M_DUE_AFTER
		due = mem[DUE];
#endif
#ifdef M_NO_RECHECK_DUE
		mem[DUE] = 0;
#else
		mem[DUE] = mem[DUE] - (all -> due : 1);
#endif
		due = mem[DUE]
	}
}

/* mye_wake_pollers(), mye_wake_pollers_irqoff() */
inline wake_pollers()
{
	if
	:: mem[PWQ] == 0
	:: else ->
#ifdef M_RING_APART
		atomic { MB -> mem[URING] = mem[URING] + kind };
#endif
#ifdef M_DUE_PLAIN
		/* a load, then a store */
		due = mem[DUE];
		mem[DUE] = due + 1;
#else
#ifdef M_DUE_RELAXED
		atomic { due = mem[DUE]; mem[DUE] = due + 1 };
#else
		atomic {
			MB -> due = mem[DUE];
			mem[DUE] = due + 1;
#ifndef M_RING_APART
			mem[URING] = mem[URING] + kind;
#endif
			RING_COUNTED
		};
#endif
#endif
		if
		:: due -> due = 0
		:: else ->
			do
			:: pollers_walk(false);
				rounds++;
				if
				:: due == 0 -> break
				:: due && rounds < ROUNDS
				:: due && rounds >= ROUNDS ->
#ifdef M_NO_ROUNDS
					rounds = 0
#else
#ifdef M_HANDOVER_FREES
					mem[DUE] = 0;
#endif
#ifndef M_HANDOVER_LEFT
					/* mye_instance_get(), queue_work() */
					atomic {
						USE_I;
						assert(!work);
#ifndef M_WORK_NO_REF
						refs++;
#endif
						work = true
					}
#endif
					break
#endif
				fi
			od;
			atomic { rounds = 0; due = 0 }
		fi
	fi
}

/*
 * A callback: mye_watch_event() after the barrier in mye_watch_wake().  It runs
 * under the lock of a queue that a watch of the instance is hooked into.
 */
proctype waker(byte id, n; bool kind)
{
	byte due, rounds, on, ring, mine;

	do
	:: n ->
		atomic { made[id]++; STORE(DATA(id), made[id]) };
#ifndef M_DUE_RELAXED
		MB;
#endif
		wake_pollers();
		n--
	:: else -> break
	od;
	atomic { MB -> live-- }
}

/* mye_pollers_work() */
active proctype worker()
{
	byte due, on, ring, mine;
end:
	do
	:: atomic { work -> work = false };
		do
		:: pollers_walk(true);
			/* may be scheduled away here: an end is not needed */
progress:		if
			:: due
			:: else -> break
			fi
		od;
		atomic { USE_I; refs-- }
	od
}

/* mye_poll() and sleep, as select() does; or a watch of an outer instance. */
proctype poller(byte id, kind)
{
	if
	:: alive[id]
	:: else ->
		atomic {
			mem[PWQLK] == 0 -> alive[id] = true; pwq = pwq | BIT(id);
			STORE(PWQ, 1)
		}
		MB	/* (B), poll() */
	fi;
	do
	:: seen[id] = mem[DATA(0)];
		seen_1[id] = mem[DATA(1)];
		if
		:: !(kind & STAYS) && (seen[id] || seen_1[id]) -> break
		:: else
		fi;
		sleepers++;
		if
		:: atomic { woken[id] -> woken[id] = false; sleepers-- }
		/* its time is up */
		:: atomic { (kind & LEAVES) -> sleepers--; break }
		fi
	od;
	/* remove_wait_queue(), and the entry is gone */
	atomic {
		mem[PWQLK] == 0 -> pwq = pwq & ~BIT(id);
		mem[PWQ] = (pwq != 0);
		alive[id] = false;
		live--
	}
}

/* The last reference to the file, when nobody can come any more */
proctype closer()
{
	atomic { live == 0 -> USE_I; refs-- }
}

#define OVER(p)	(alive[p] && (seen[p] != made[0] || seen_1[p] != made[1]))

/* Nothing can move any more: was anything lost? */
active proctype judge()
{
	bool lost;

	timeout ->
	assert(live == sleepers);
	lost = OVER(2) || OVER(3);
	assert(!lost);
#ifdef RING
	assert(told == asked);
#endif
	assert(live || !refs)
}

/* Starting point */
#define ON_QUEUE(p) \
	alive[p] = true; pwq = pwq | BIT(p); mem[PWQ] = 1

init
{
	atomic {
		CONFIG
	}
}
