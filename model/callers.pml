/* SPDX-License-Identifier: GPL-2.0-only */
/* Who else comes to an instance than waits: poll(), MOD, ADD.  Part of wait.pml. */
#ifdef POLLER
#ifdef OUTER
#define TOLD	told = v
#else
#define TOLD	skip
#endif

/* mye_poll_lane(): got */
inline poll_lane(l)
{
	budget = 255;
	do
	:: !got ->
		lane_claim(l);
		if
		:: w == NONE -> break
		:: else ->
			evaluate();
			if
			:: v -> atomic { back = back | BIT(w); got = true; TOLD }
			:: else
			fi;
			atomic { v = 0; wseq = 0; mask = false };
			settle()
		fi
	:: else -> break
	od;
	atomic { budget = 0; w = NONE }
}

/*
 * mye_poll(), from a caller that sleeps when there is nothing.  OUTER: it is an
 * edge-triggered watch of us, and polls once for each time it was woken.
 */
proctype poller(byte id, kind)
{
	LOCALS;
	PASS_LOCALS;

	all = true;
	atomic { STORE(PWQ, 1) };
#ifndef M_NO_B_POLL
	MB;	/* (B), poll() */
#endif
repeat:
#ifdef VAIN
	VAIN_BEGINS;
#endif
	CALL_BEGINS;
	do
	::
#if NL > 1
		nr = NR_LANES;
		poll_lane(0);
		if
		:: nr > 1 -> poll_lane(1)
		:: else
		fi;
		nr = 0;
#else
		poll_lane(0);
#endif
		if
		:: got -> break
		:: else ->
#ifdef M_POLL_BLIND
			sight = EMPTY;
#else
			look();
#endif
			if
			:: sight == EMPTY -> break
			:: sight == BUSY -> slept = true; await_settle()
#ifdef VAIN
			:: sight == READY ->
				vain++;
				if
#ifndef M_NO_VAIN_MAX
				:: vain == VAIN ->
#ifndef M_POLL_VAIN_NO
					got = true;
#endif
					break
#endif
				:: else
				fi
#endif
			:: else
			fi
		fi
	od;
	if
	:: slept -> slept = false; wake_left()
	:: else
	fi;
	if
#ifndef OUTER
	:: got
#endif
#ifdef VAIN
	:: !got && (kind & ONCE) -> CALL_EMPTY
	:: !got && !(kind & ONCE) ->
#else
	:: else ->
#endif
		if
		:: got -> got = false
		:: else -> CALL_EMPTY
		fi;
		in_poll = in_poll | BIT(id);
		atomic { pwoken -> pwoken = false };
		in_poll = in_poll & ~BIT(id);
		goto repeat
	fi;
	atomic { MB -> live-- }
}
#endif

#ifdef MOD
/* mye_mod_set(), mye_mod_watch(), mye_watch_kick(): arm a one-shot again */
proctype modifier(byte id, file)
{
	LOCALS;

	w = file;
	atomic {
		mem[WLK(w)] == 0 -> mem[WLK(w)] = 1;
		gmask[w] = true;
		STORE(WSEQ(w), gwseq[w] + 1);
		STORE(MASK(w), 1);
		gwseq[w] = gwseq[w] + 2;
		STORE(WSEQ(w), gwseq[w]);
		RELEASE(WLK(w))
	}
#ifndef M_NO_A_MOD
	MB;	/* (A), MOD */
#endif
	if
	:: mem[DATA(w)] == 0
	:: else ->
		acquire(WLK(w));
		lane_hit();
		RELEASE(WLK(w));
		if
#ifndef M_MOD_NO_WAKE
		:: hit -> wake_one(); wake_pollers()
#endif
		:: else
		fi
	fi;
	atomic { MB -> live-- }
}
#endif

#ifdef ADDER
/* mye_add_watch(), mye_add_done(): a new watch is CLAIMED by its ADD */
proctype adder(byte id, file)
{
	LOCALS;
	byte v;

	w = file;
#ifdef M_ADD_POLL_FIRST
	v = mem[DATA(w)];
#endif
	/* mye_watch_hook() */
	acquire(FLK(w));
	atomic { hooked[w] = true; RELEASE(FLK(w)) };
#ifndef M_ADD_POLL_FIRST
	v = mem[DATA(w)];
#endif
#if !defined(M_ADD_NO_HIT) && !defined(M_ADD_HIT_LATE)
	if
	:: v -> lane_hit()
	:: else
	fi;
#endif
	atomic {
		shown = shown | BIT(w);
#ifdef LOOK
		due = due | made;
#endif
	}
#ifdef M_ADD_HIT_LATE
	if
	:: v -> lane_hit()
	:: else
	fi;
#endif
	claims = BIT(w);
	settle();
#ifndef M_ADD_NO_POLL_WAKE
	if
	:: v -> wake_pollers()
	:: else
	fi;
#endif
	MB;
	wake_settled(255);
	atomic { MB -> live-- }
}
#ifdef M_ADD_BORN_IDLE
#define NEW(w)	mem[STATE(w)] = IDLE
#else
#define NEW(w)	mem[STATE(w)] = CLAIMED
#endif
#endif
