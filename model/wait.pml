/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The life of an event: callback, lanes, passes, sleeping and waking.
 *
 * Processes call the real steps of module/{watch,lane,pass,wait,ctl}.c; which
 * processes there are, a configuration says (model/run).  README.md has the
 * rest.
 */
#include "lane.pml"
#ifdef GROW
#include "grow.pml"
#endif

/* What a waiter is like */
#define TIMED	1	/* its time may be up at any time */
#define MORTAL	2	/* a signal may come at any time it sleeps */
#define FAULTY	4	/* its array can be bad */
#define ZERO	8	/* timeout 0 */
#define FATAL	16	/* that signal is fatal */
#define GROWER	32	/* its first pass opens lanes */
#define ONCE	128	/* a poll() that does not sleep when there is nothing */
#define EARLY	64	/* what is there may have come after its first look */

#define PASS_LOCALS	bool got, expired, slept, signalled, in_time, woken, mask; \
	byte wseq, v VAIN_LOCALS

/* VAIN: after how many passes in vain a call ends whose time is up */
#ifdef VAIN
#define VAIN_LOCALS	; bool vainly; byte vain
#define VAIN_BEGINS	vainly = false; vain = 0
#define VAIN_PASS	vainly = claims && !got && !faulted;
#define VAIN_ENDS	assert(got || expired || signalled);
#if defined(M_NO_VAIN_MAX)
#define VAIN_COUNTS	false
#elif defined(M_VAIN_ANY)
#define VAIN_COUNTS	vainly
#else
#define VAIN_COUNTS	(vainly && expired)
#endif
#else
#define VAIN_LOCALS
#define VAIN_BEGINS	skip	/* in an atomic step */
#define VAIN_PASS
#define VAIN_ENDS
#endif

/* mye_watch_wake(), mye_watch_event(), under the lock of the file's wait queue */
inline watch_wake()
{
#ifndef M_NO_A_CALLBACK
	MB;	/* (A), (B): mye_watch_wake() */
#endif
	if
#ifdef ADDER
	:: !hooked[w]
	:: hooked[w] && mem[MASK(w)] == 0
#else
	:: mem[MASK(w)] == 0
#endif
	:: else ->
		lane_hit();
#ifdef M_WAKE_IF_NEW
		if
		:: hit -> wake_one(); wake_pollers()
		:: else
		fi
#else
#ifndef M_NO_WAKE
		wake_one();
#endif
#ifndef M_NO_POLL_WAKE
		wake_pollers()
#else
		skip
#endif
#endif
	fi;
	atomic {
#ifdef LOOK
		if
#ifdef ADDER
		:: !(shown & BIT(w)) -> made = made | BIT(w)
#endif
		:: (pending[w] & BIT(id)) && gdata[w] -> due = due | BIT(w)
		:: else
		fi;
		pending[w] = pending[w] & ~BIT(id);
#endif
#ifndef TWO_QUEUES
		RELEASE(FLK(w));
#endif
		hit = false
	}
}

/*
 * A file becomes ready and wakes its wait queue.  The data is stored under the
 * lock of the queue: mye_watch_wake()
 */
inline write_file()
{
#ifndef TWO_QUEUES
	acquire(FLK(w));
#endif
	atomic {
		if
		:: KIND(w) == EDGE -> gdata[w]++
		:: else -> gdata[w] = 1
		fi;
		hits[w]++;
		STORE(DATA(w), gdata[w])
	}
	watch_wake()
}

proctype producer(byte id, file, writes)
{
	LOCALS;

	do
	:: writes -> w = file; write_file(); writes--
	:: else -> break
	od;
	atomic { MB -> live-- }
}

#ifdef VAIN
/* The same file also wakes its queue without an event: mye_watch_wake() */
proctype crier(byte id, file, cries, writes)
{
	LOCALS;

	w = file;
	do
	:: cries -> acquire(FLK(w)); hits[w]++; watch_wake(); cries--
	:: writes -> write_file(); writes--
	:: else -> break
	od;
	atomic { MB -> live-- }
}

/*
 * It does so whenever that was found out, as long as somebody is there who can:
 * mye_watch_wake()
 */
proctype howler(byte id, file)
{
	LOCALS;

	w = file;
	do
	:: live > 1 && mem[STATE(w)] == IDLE -> acquire(FLK(w)); watch_wake()
	:: live == 1 -> break
	od;
	atomic { MB -> live-- }
}
#endif

/* mye_ask(): v */
inline ask_file()
{
	v = (mask -> mem[DATA(w)] : 0)
}

/* mye_evaluate(), mye_ask_again() */
inline evaluate()
{
	wseq = mem[WSEQ(w)];
#ifdef MOD
	mask = mem[MASK(w)];
#else
	mask = gmask[w];
#endif
	ask_file();
	if
#ifndef M_NO_WSEQ
	:: (wseq & 1) || mem[WSEQ(w)] != wseq ->
		atomic { mem[WLK(w)] == 0 -> mask = gmask[w]; wseq = gwseq[w] };
		ask_file()
#endif
	:: else
	fi
}

/* mye_disarm() */
inline disarm()
{
	atomic {
		mem[WLK(w)] == 0;
#ifndef M_DISARM_BLINDLY
		if
		:: gwseq[w] == wseq ->
#endif
			mem[WLK(w)] = 1;
			gmask[w] = false;
			STORE(MASK(w), 0);
			RELEASE(WLK(w))
#ifndef M_DISARM_BLINDLY
		:: else
		fi
#endif
	}
}

/* mye_pass_deliver(): one event, which is stored */
inline deliver()
{
	atomic {
		got = true;
#ifdef ADDER
		assert(shown & BIT(w));		/* no watch before its ADD */
#endif
		reports[w]++;
		if
		:: KIND(w) == LEVEL -> back = back | BIT(w); reports[w] = 0
		:: KIND(w) == EDGE ->
			assert(reports[w] <= hits[w]);	/* no edge twice */
#ifdef M_EDGE_BACK
			back = back | BIT(w);
#endif
			if
			:: v > seen[w] -> seen[w] = v
			:: else
			fi
		:: KIND(w) == ONESHOT ->
			assert(!(spent[w] & BIT(wseq)));	/* no shot twice */
			spent[w] = spent[w] | BIT(wseq)
		fi
	}
#ifndef M_NO_DISARM
	if
	:: KIND(w) == ONESHOT -> disarm()
	:: else
	fi
#endif
}

/* mye_pass_lane(), room for one event */
inline pass_lane(l)
{
	budget = 255;
	do
	:: !got && !faulted ->
		lane_claim(l);
		if
		:: w == NONE -> break
		:: else -> evaluate();
			if
			:: v && (kind & FAULTY) ->
				atomic { back = back | BIT(w); faulted = true }
			:: v -> deliver()
			:: else
			fi;
			atomic { v = 0; wseq = 0; mask = false }
		fi
	:: else -> break
	od;
	atomic { budget = 0; w = NONE }
}

/* mye_pass(): begins anywhere, as mye_lane_start() does */
inline pass()
{
#ifdef GROW
	if
	:: (kind & GROWER) && NR_LANES == 1 -> lanes_open()
	:: else
	fi;
#endif
#if NL > 1
	if
	:: NR_LANES > 1 -> pass_lane(0); pass_lane(1)
	:: NR_LANES > 1 -> pass_lane(1); pass_lane(0)
	:: NR_LANES == 1 -> pass_lane(0)
	fi;
#else
	pass_lane(0);
#endif
	VAIN_PASS
	signalled = signalled || faulted;	/* -EFAULT: the call ends */
	/* mye_lane_settle_each(): only claims that were not counted matter */
	faulted = faulted && (back & ~counted);
	settle()
}

#ifdef VAIN
/* mye_wait_long(): after a pass that asked files which had nothing */
inline count_vain()
{
	atomic {
		if
		:: VAIN_COUNTS -> vain++
		:: else
		fi;
		if
		:: VAIN_COUNTS && vain == VAIN -> sight = NONE; CALL_LEFT
		:: else
		fi;
		vainly = false
	}
}
#endif

/* mye_enqueue() */
inline enqueue()
{
	atomic {
		mem[WQLK] == 0 -> mem[WQLK] = 1;
		wq = wq | BIT(id);
		entry[id] = true;
		STORE(WQN, 1)
	}
#if defined(M_STATE_LATE)
	RELEASE(WQLK);
	atomic { MB -> sleepy[id] = true }
#elif defined(M_NO_B_WAITER)
	atomic { sleepy[id] = true; RELEASE(WQLK) }
#else
	atomic { MB -> sleepy[id] = true; mem[WQLK] = 0 }	/* (B), (C), waiter */
#endif
}

/* mye_sleep() */
inline sleep()
{
	in_wq = in_wq | BIT(id);
	if
	:: atomic { !sleepy[id] -> in_time = true }
	:: atomic { (kind & TIMED) && sleepy[id] -> in_time = false }
	:: atomic { (kind & MORTAL) && !signalled && sleepy[id] ->
			signalled = true; in_time = true }
	fi;
	in_wq = in_wq & ~BIT(id)
}

/* mye_unwait(): woken */
inline unwait()
{
	if
	:: !(wq & BIT(id)) -> atomic { woken = true; entry[id] = false }
	:: else ->
		atomic {
			mem[WQLK] == 0;
			woken = !(wq & BIT(id));
			wq = wq & ~BIT(id);
			mem[WQN] = (wq != 0);
			entry[id] = false
		}
	fi
}

/* mye_await_event() */
inline await_event()
{
	enqueue();
#ifdef M_NO_RECHECK
	r = 0;
#else
	lanes_ready();
#endif
	if
	:: !r -> sleep()
	:: else ->
		if
		:: in_time = true
		:: kind & TIMED -> in_time = false
		fi
	fi;
	atomic { sleepy[id] = false; r = 0 };
	unwait();
	if
	:: kind & FATAL -> signalled = true
	:: skip
	fi;
	atomic {
#ifdef M_NO_HARVEST
		/* gives up, though a waker may have chosen it */
		if
		:: !in_time -> sight = NONE
#else
		if
		:: !woken && !in_time -> expired = true
#endif
		:: else -> slept = true
		fi;
#ifndef M_NO_HARVEST
		slept = true;
#endif
	 woken = false; in_time = false
	}
}

/*
 * mye_await_settle(); begins with sight == BUSY, which stands for the look
 * before the first sleep
 */
inline await_settle()
{
	assert(!(kind & TIMED));	/* the time is up, and stays so */
	do
	:: sight == BUSY && !signalled ->
		/* prepare_to_wait_exclusive() */
		atomic {
			mem[SETLK] == 0 -> mem[SETLK] = 1;
			setq = setq | BIT(id);
			STORE(SETN, 1)
		}
#ifdef M_NO_BARRIER_SETTLED
		atomic { sleepy[id] = true; RELEASE(SETLK) }
#else
		atomic { MB -> sleepy[id] = true; mem[SETLK] = 0 }
#endif
		look();
		if
		:: sight == BUSY ->
			in_settled = in_settled | BIT(id);
			if
			:: !sleepy[id]
			:: (kind & MORTAL) && sleepy[id] -> signalled = true
			fi;
			in_settled = in_settled & ~BIT(id)
		:: else
		fi
	:: else -> break
	od;
	/* finish_wait() */
	atomic {
		mem[SETLK] == 0;
		sleepy[id] = false;
		setq = setq & ~BIT(id);
		mem[SETN] = (setq != 0)
	}
}

/* mye_wake_left() */
inline wake_left()
{
#ifndef M_NO_LEFT
	MB;
#ifndef M_NO_LEFT_NEXT
	wake_next();
#endif
#ifndef M_NO_LEFT_SETTLED
	wake_settled(1)
#else
	skip
#endif
#else
	skip
#endif
}

/* mye_wait_last(): a timeout that has run out has had its time */
#if defined(M_BUSY_ENDS)
#define ENDS_ON_BUSY	true
#elif defined(M_BUSY_WAITS)
#define ENDS_ON_BUSY	false
#else
#define ENDS_ON_BUSY	(kind & TIMED)
#endif

/* mye_wait_more(), mye_wait_last(): goes on, or sets sight to NONE */
inline wait_more()
{
	if
	:: expired ->
#ifndef NO_ZERO
		look();
		if
		:: sight == EMPTY -> sight = NONE; CALL_EMPTY
		:: sight == READY
		:: sight == BUSY && ENDS_ON_BUSY ->
			sight = NONE;
			if
			:: kind & TIMED -> CALL_LEFT
			:: else -> CALL_EMPTY
			fi
		:: sight == BUSY && !ENDS_ON_BUSY ->
#ifndef M_BUSY_SPINS
			slept = true;
			await_settle();
			if
			:: signalled -> sight = NONE
			:: else
			fi
#endif
		fi
#else
		/* With one lane, and a timeout that has run out, a look is this. */
		lanes_ready();
		if
		:: r
		:: else -> sight = NONE
		fi;
		r = 0
#endif
	:: !expired && signalled -> sight = NONE
	:: else -> await_event()
	fi
}

/* The user reads what a level-triggered watch has reported. */
inline consume(w)
{
	atomic {
		mem[FLK(w)] == 0;
		gdata[w] = 0;
		mem[DATA(w)] = 0;
		DUE_CLEAR(w)
	}
}

/* mye_wait() */
inline wait()
{
	atomic {
		got = false; slept = false; signalled = false;
		expired = (kind & ZERO) != 0;
		sight = READY;
		VAIN_BEGINS
	}
	CALL_BEGINS;
#ifndef NO_ZERO
	if
	:: expired ->
		look();
		if
		:: sight == EMPTY -> sight = NONE; CALL_EMPTY
		:: else
		fi
	:: else
	fi;
#endif
	do
	:: !got && sight != NONE ->
		if
		:: lanes_ready()
		:: (kind & EARLY) && !slept
		fi;
		if
		:: r && signalled && (kind & FATAL) -> sight = NONE
		:: r && !(signalled && (kind & FATAL)) -> pass()
		:: else
		fi;
		r = 0;
		if
		:: got || sight == NONE || (signalled && (kind & FAULTY)) -> sight = NONE
		:: else ->
#ifdef VAIN
			count_vain();
			if
			:: sight == NONE
			:: else -> wait_more()
			fi
#else
			wait_more()
#endif
		fi
	:: else -> break
	od;
	VAIN_ENDS
	if
	:: slept -> wake_left()
	:: else
	fi
}

/* Calls of mye_wait() */
proctype waiter(byte id, kind, rounds)
{
	LOCALS;
	PASS_LOCALS;

	do
	:: rounds -> wait(); rounds--
#ifdef CONSUME
		if
		:: got -> consume(0)
		:: else
		fi
#endif
	:: else -> break
	od;
	atomic { MB -> live-- }
}

#include "callers.pml"

/* What somebody who sleeps should have been told */
#define OWED(w)	((KIND(w) == EDGE && seen[w] != gdata[w]) || \
	 (KIND(w) == LEVEL && gdata[w]) || \
	 (KIND(w) == ONESHOT && gdata[w] && !(spent[w] & BIT(gwseq[w]))))

/* Nothing can move any more: was anything lost? */
active proctype judge()
{
	byte n;
	bool lost;

	timeout ->
	n = COUNT(in_wq) + COUNT(in_wq >> 2) + ((in_wq >> 4) & 1);
	n = n + ((in_poll | (in_poll >> 1) | (in_poll >> 2) | (in_poll >> 3) |
		  (in_poll >> 4)) & 1);
	assert(in_settled == 0);		/* every settle was told */
	assert(live == n);			/* nobody is stuck elsewhere */
	assert(mem[AGAINS] == 0 || live);
	lost = n && (OWED(0) || OWED(1));
#ifdef OUTER
	lost = told != gdata[0];	/* not an edge of ours */
#endif
	assert(!lost)				/* nobody sleeps over an event */
}

/* Starting points */
#define DISARMED(w)	mem[MASK(w)] = 0; gmask[w] = false; spent[w] = 1
#ifdef LOOK
#define DUE_AT_FIRST(w)	due = due | BIT(w)
#else
#define DUE_AT_FIRST(w)	skip
#endif
/* By somebody who sleeps in poll() of the file; level-triggered */
#define CLAIMED_FOR_EVER(w) \
	mem[STATE(w)] = CLAIMED; mem[CLAIMS(0)] = 1; gclaims[0] = 1; \
	holder[w] = NID + 1; DUE_AT_FIRST(w)
#define QUEUED_AT_FIRST(w, l) \
	gdata[w] = 1; mem[DATA(w)] = 1; hits[w] = 1; \
	mem[STATE(w)] = QUEUED; mem[LANE(w)] = l; \
	mem[INBOX(l)] = mem[INBOX(l)] | BIT(w); DUE_AT_FIRST(w)

init
{
	atomic {
		mem[MASK(0)] = 1; gmask[0] = true;
		mem[MASK(1)] = 1; gmask[1] = true;
		mem[NR] = 1;
		CONFIG
	}
}
