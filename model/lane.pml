/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Model of module/lane.c, and of the wake-ups in module/wait.c.
 *
 * Inlines use the caller's locals, see LOCALS.  M_* are mutations.
 */
#include "memory.pml"

#define LOCALS	byte w = NONE, l, r, s, n, i, nr, now, again; \
	byte claims, back, counted, requeued, budget, sight, q, gen, before; \
	bool faulted, hit, all

/* mye_lane_ready() */
inline lane_ready(l)
{
	r = mem[INBOX(l)] != 0;
	if
	:: r
	:: else -> OWN(LEN(l)); r = mem[LEN(l)] != 0
	fi
}

/* mye_lanes_ready() */
inline lanes_ready()
{
#ifdef M_NR_ONCE
	nr = NR_LANES;
	lane_ready(0);
	if
	:: !r && nr > 1 -> lane_ready(1)
	:: else
	fi;
	nr = 0
#else
	lane_ready(0);
#if NL > 1
	if
	:: !r && NR_LANES > 1 -> lane_ready(1)
	:: else
	fi
#endif
#endif
}

/* mye_wake_one(): whichever, not the newest: more than the code does */
inline wake_one()
{
	if
	:: mem[WQN] == 0
	:: else ->
		atomic {
			mem[WQLK] == 0 -> mem[WQLK] = 1;
			n = NONE;
			if
			:: wq & BIT(0) -> n = 0
			:: wq & BIT(1) -> n = 1
			:: wq & BIT(2) -> n = 2
#if NID > 3
			:: wq & BIT(3) -> n = 3
#endif
#if NID > 4
			:: wq & BIT(4) -> n = 4
#endif
			:: wq == 0
			fi;
#ifdef M_ENTRY_LATE
			/* off the queue first, woken afterwards */
			if
			:: n != NONE -> wq = wq & ~BIT(n)
			:: else
			fi
#else
			if
			:: n != NONE -> sleepy[n] = false
			:: else
			fi
#endif
		}
		/* the last access to the entry: list_del_init_careful() */
		atomic {
			if
			:: n != NONE ->
				assert(entry[n]);
#ifdef M_ENTRY_LATE
				sleepy[n] = false;
#else
				wq = wq & ~BIT(n);
#endif
			:: else
			fi;
			mem[WQN] = (wq != 0);
			mem[WQLK] = 0;
			n = 0
		}
	fi
}

/* mye_wake_pollers() */
inline wake_pollers()
{
	if
	:: mem[PWQ] == 0
	:: else -> pwoken = true
	fi
}

/* mye_wake_next() */
inline wake_next()
{
	if
	:: mem[WQN] == 0
	:: else ->
#ifdef M_NO_C
		MB;	/* the lanes as the settler has left them */
#endif
		lanes_ready();
		if
		:: r -> r = 0; wake_one()
		:: else
		fi
	fi
}

/* mye_lane_settled(): wake_up_nr() on mye_instance.settled, whichever */
inline wake_settled(nr)
{
	if
	:: mem[SETN] == 0
	:: else ->
#ifndef M_NO_SETTLED_WAKE
		atomic {
			mem[SETLK] == 0 -> n = nr;
			do
			:: n && (setq & BIT(0)) && sleepy[0] ->
				sleepy[0] = false; setq = setq & ~BIT(0); n--
			:: n && (setq & BIT(1)) && sleepy[1] ->
				sleepy[1] = false; setq = setq & ~BIT(1); n--
			:: n && (setq & BIT(2)) && sleepy[2] ->
				sleepy[2] = false; setq = setq & ~BIT(2); n--
#if NID > 3
			:: n && (setq & BIT(3)) && sleepy[3] ->
				sleepy[3] = false; setq = setq & ~BIT(3); n--
#endif
#if NID > 4
			:: n && (setq & BIT(4)) && sleepy[4] ->
				sleepy[4] = false; setq = setq & ~BIT(4); n--
#endif
			:: else -> break
			od;
			mem[SETN] = (setq != 0);
			n = 0
		}
#else
		skip
#endif
	fi
}

/* mye_lane_push(); the IDLE -> QUEUED exchange was the caller's */
inline lane_push()
{
#ifdef GROW
	i = id % NR_LANES;	/* mye_lane_home() */
	mem[LANE(w)] = i;
	atomic { MB -> mem[INBOX(i)] = mem[INBOX(i)] | BIT(w); i = 0 }
#else
	mem[LANE(w)] = id % NL;
	atomic { MB -> mem[INBOX(id % NL)] = mem[INBOX(id % NL)] | BIT(w) }
#endif
}

#ifdef LOOK
#define DECIDED	if :: KIND(w) == EDGE && s == QUEUED && taken[w] \
		   :: else -> pending[w] = pending[w] | BIT(id) fi
#else
#define DECIDED	skip
#endif

/* mye_lane_hit_claimed(); s is what a failed exchange saw */
inline hit_claimed()
{
#ifndef M_AGAIN_UNCOUNTED
	atomic { MB -> mem[AGAINS]++ };
#endif
	atomic {
		MB;
		s = mem[STATE(w)];
		if
		:: s == CLAIMED -> mem[STATE(w)] = CLAIMED | AGAIN; hit = true; DECIDED
		:: else
		fi
	}
	if
	:: hit
	:: else ->
#ifndef M_AGAIN_UNCOUNTED
		atomic { MB -> mem[AGAINS]-- };
#ifndef M_HIT_NO_WAKE
		wake_settled(255)
#else
		skip
#endif
#else
		skip
#endif
	fi
}

/* mye_lane_hit(), mye_watch_kick() but for the lock */
inline lane_hit()
{
	hit = false;
	atomic {
		s = mem[STATE(w)];
		if
		:: s == QUEUED || s == (CLAIMED | AGAIN) -> DECIDED
		:: else
		fi
	}
	do
	:: hit || s == QUEUED || s == (CLAIMED | AGAIN) -> break
	:: !hit && s == IDLE ->
		atomic {
			MB;
			s = mem[STATE(w)];
			if
			:: s == IDLE ->
#ifndef M_PUSH_EARLY
				mem[STATE(w)] = QUEUED;
#endif
				hit = true
			:: else
			fi;
			if
			:: s == IDLE || s == QUEUED || s == (CLAIMED | AGAIN) -> DECIDED
			:: else
			fi
		}
		if
		:: hit -> lane_push()
#ifdef M_PUSH_EARLY
			; atomic { MB -> mem[STATE(w)] = QUEUED }
#endif
		:: else
		fi
	:: !hit && s == CLAIMED ->
		hit_claimed();
		if
		:: !hit -> atomic { if :: s == QUEUED || s == (CLAIMED | AGAIN) -> DECIDED :: else fi }
		:: else
		fi
	od;
	s = 0
}

/* mye_lane_drain(), with the lock */
inline drain(l)
{
	atomic {
		r = mem[INBOX(l)] != 0;
		if
		:: r ->
#if !defined(M_DRAIN_NO_LEN) && !defined(M_DRAIN_LEN_LATE)
			STORE(LEN(l), COUNT(gfifo[l]) + 1)
#else
			skip
#endif
		:: else
		fi
	}
	if
	:: r ->
		atomic {
			MB;
			gfifo[l] = gfifo[l] | mem[INBOX(l)];
			mem[INBOX(l)] = 0;
#ifdef M_DRAIN_LEN_LATE
			STORE(LEN(l), COUNT(gfifo[l]) + 1);
#endif
			STORE(LEN(l), COUNT(gfifo[l]));
			r = 0
		}
	:: else
	fi
}

/* mye_lane_change(), mye_lane_changed(); wraps after 8 changes */
#ifdef LOOK
#define MOVE_SEQ(l)	gseq[l] = (gseq[l] + 1) % 16; STORE(LSEQ(l), gseq[l])
#define SHOW_CLAIMS(l)	STORE(CLAIMS(l), gclaims[l])
#else
#define MOVE_SEQ(l)	skip
#define SHOW_CLAIMS(l)	skip
#endif
#define CHANGE(l)	MOVE_SEQ(l); WMB
#define CHANGED(l)	WMB; MOVE_SEQ(l)

/* mye_mask_counts() */
#ifdef M_CLAIMS_UNCOUNTED
#define COUNTS(w)	false
#else
#define COUNTS(w)	(all || KIND(w) == LEVEL)
#endif

/* mye_lane_cut() of one watch */
inline lane_cut(l)
{
	if
	:: gfifo[l] & BIT(0) -> w = 0
	:: gfifo[l] & BIT(1) -> w = 1
	fi;
	assert(mem[STATE(w)] == QUEUED);
	gfifo[l] = gfifo[l] & ~BIT(w);
	claims = claims | BIT(w);
	HELD(w);
	CHANGE(l);
	STORE(STATE(w), CLAIMED);
	if
	:: COUNTS(w) -> counted = counted | BIT(w); gclaims[l]++
	:: else -> counted = counted & ~BIT(w)
	fi;
#ifdef LOOK
	if
	:: KIND(w) == EDGE && !COUNTS(w) -> taken[w] = true; DUE_CLEAR(w)
	:: else
	fi;
#endif
	SHOW_CLAIMS(l);
	STORE(LEN(l), COUNT(gfifo[l]));
	CHANGED(l);
	budget--
}

/* mye_lane_claim(), want == 1; budget is in and out, w the watch or NONE */
inline lane_claim(l)
{
	w = NONE;
	lane_ready(l);
	if
	:: r && budget ->
		acquire(LLK(l));
		drain(l);
		atomic {
			if
			:: budget > COUNT(gfifo[l]) -> budget = COUNT(gfifo[l])
			:: else
			fi;
			if
			:: budget -> lane_cut(l)
			:: else
			fi;
			RELEASE(LLK(l));
			r = 0
		}
#ifndef M_NO_A_CLAIM
		MB;	/* (A), claimer */
#endif
	:: else -> r = 0
	fi
}

/* mye_lane_settle_drop(), the exchange CLAIMED -> IDLE; hit: it worked */
inline settle_drop(w)
{
	atomic {
		MB;
		hit = mem[STATE(w)] == CLAIMED;
#ifdef M_AGAIN_DROPPED
		if
		:: !hit -> mem[AGAINS]--; hit = true
		:: else
		fi;
#endif
		if
		:: hit ->
			mem[STATE(w)] = IDLE;
			HELD_NO_MORE(w);
			claims = claims & ~BIT(w);
#ifdef LOOK
			taken[w] = false;
#endif
		:: else
		fi
	}
}

/* mye_lane_settle_unlocked() of one watch */
inline settle_unlocked(w)
{
	if
	:: (claims & ~counted & ~back) & BIT(w) -> settle_drop(w)
	:: else
	fi
}

/* mye_lane_settle_each(): one */
inline settle_one(l, w)
{
	if
	:: (claims & BIT(w)) && mem[LANE(w)] == l ->
		atomic {
			hit = false;
			if
			:: counted & BIT(w) -> assert(gclaims[l]); gclaims[l]--
			:: else
			fi
		}
		if
		:: back & BIT(w)
		:: else -> settle_drop(w)
		fi;
		if
		:: hit
		:: else ->
			atomic {
				MB;
				again = mem[STATE(w)] & AGAIN;
				mem[STATE(w)] = QUEUED;
				HELD_NO_MORE(w);
				claims = claims & ~BIT(w);
				gfifo[l] = gfifo[l] | BIT(w);
				requeued++;
#ifdef LOOK
				taken[w] = false;
#endif
			}
#ifndef M_AGAIN_UNCOUNTED
			if
			:: again -> atomic { MB -> mem[AGAINS]--; again = 0 }
			:: else
			fi
#endif
		fi
	:: else
	fi
}

/* mye_lane_settle_run() */
inline settle_run(l)
{
	if
	:: ((claims & 1) && mem[LANE(0)] == l) || ((claims & 2) && mem[LANE(1)] == l) ->
		acquire(LLK(l));
		drain(l);
		atomic { CHANGE(l) };
		settle_one(l, 0);
#if NW > 1
		settle_one(l, 1);
#endif
		atomic {
			SHOW_CLAIMS(l);
			STORE(LEN(l), COUNT(gfifo[l]));
			CHANGED(l);
			RELEASE(LLK(l))
		}
	:: else
	fi
}

/* mye_lane_settle(), mye_lane_settled() */
inline settle()
{
	requeued = 0;
	settle_unlocked(0);
#if NW > 1
	settle_unlocked(1);
#endif
	if
	:: claims == 0
	:: else ->
		settle_run(0);
#if NL > 1
		settle_run(1);
#endif
#ifndef M_NO_C
		MB;	/* (C) */
#endif
		s = (requeued -> requeued : 255);
		wake_settled(s);
		s = 0;
#ifndef M_NO_WAKE_NEXT
		if
		:: requeued -> wake_next()
		:: else
		fi;
#endif
#ifndef M_FAULT_NO_POLL_WAKE
		if
		:: faulted -> wake_pollers()
		:: else
		fi
#endif
	fi;
	atomic { requeued = 0; counted = 0; back = 0; hit = false; faulted = false; w = NONE }
}

/* mye_look_lane(): sight is what this lane shows, s the sequence number */
inline look_lane(l)
{
	do
	:: atomic { (mem[LSEQ(l)] & 1) == 0 -> OWN(LSEQ(l)); s = mem[LSEQ(l)] };
		lane_ready(l);
		q = mem[CLAIMS(l)] != 0;
		if
		:: q
		:: else -> q = mem[AGAINS] != 0
		fi;
#ifdef M_NO_SEQ
		break
#else
		if
		:: mem[LSEQ(l)] == s -> break
		:: else
		fi
#endif
	od
}

#define SIGHT	(r -> READY : (q -> BUSY : EMPTY))

/* mye_look_once() of the first nr lanes */
inline look_once(nr)
{
	atomic { gen = 0; i = 0; sight = EMPTY };
	do
	:: i < nr ->
		look_lane(i);
		atomic {
			gen = (gen + s) % 32;
			if
			:: r -> sight = READY; i = nr
			:: !r && q -> sight = BUSY; i++
			:: else -> i++
			fi;
			r = 0; q = 0; s = 0
		}
	:: else -> break
	od
}

/* mye_look_all() */
inline look_all()
{
	nr = NR_LANES;
	look_once(nr);
#ifndef M_ONE_LOOK
	do
	:: sight == EMPTY ->
		now = NR_LANES;
		before = gen;
		look_once(now);
		if
		:: now == nr && gen == before -> break
		:: else -> nr = now
		fi
	:: else -> break
	od;
#endif
	atomic { before = 0; gen = 0; i = 0; nr = 0; now = 0 }
}

/* mye_look() */
inline look()
{
#ifdef M_LOOK_NR_FIRST
	nr = NR_LANES;
#endif
	look_lane(0);
	atomic { sight = SIGHT; r = 0; q = 0; s = 0 }
#if NL > 1
	if
#ifdef M_LOOK_NR_FIRST
	:: sight == READY || nr == 1 -> nr = 0
#else
	:: sight == READY || NR_LANES == 1
#endif
	:: else -> look_all()
	fi
#endif
}
