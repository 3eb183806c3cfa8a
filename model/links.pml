/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Links between instances: two of them, which must not both be there.  They lead
 * from A to B and back, a loop; or from A to B and on to C, a chain that is too
 * long (CHAIN).  Through a link a wake-up goes up, while its watch is hooked, and
 * a poll() down, while a claimer is at it.
 *
 * What a claim stores goes through a store buffer, as in memory.pml; all else is
 * decided under locks.  M_* are mutations.
 */
#define IDLE	0
#define QUEUED	1
#define CLAIMED	2
#define ORPHAN	8

#define STATE(l)	(l)	/* mye_watch.state */
#define LLK		2	/* mye_lane.lock */

#ifdef CHAIN
#define MAX		1	/* MYE_MAX_NESTS */
#define OUTER(l)	(l)
#define CHILD(l)	(l + 1)
#else
#define MAX		4
#define OUTER(l)	(l)
#define CHILD(l)	(1 - l)
#endif

byte mem[3];
chan sb[4] = [3] of { byte, byte };

#define STORE(a, v)	assert(nfull(sb[id])); sb[id]!(a),(v)
#define MB		empty(sb[id])
#define FLUSH(n)	:: d_step { sb[n]?a,v; mem[a] = v; a = 0; v = 0 }

bool nest_lock;		/* mye_nest_lock */
bool linked[2];		/* in children and parents */
byte walk_nr;		/* mye_nest_walk */
byte stamp[3], depth[3];

/* Of the watch and its link */
bool alive_w[2], alive_n[2];
byte w_refs[2];
bool nest[2];		/* mye_watch.nest is not NULL */
bool dead[2], severed[2], hooked[2], published[2];
byte inside[2];		/* who is in poll() of the inner instance */
bool refused[2];
bool woken;		/* who waits on mye_instance.settled */
byte live;

#define LOCK		atomic { !nest_lock -> nest_lock = true }
#define UNLOCK		nest_lock = false

#define USED(l)		(hooked[l] || inside[l])
#ifdef CHAIN
bool too_long;
#define USE(x)		x; too_long = USED(0) && USED(1); assert(!too_long)
#else
bool loop;
#define USE(x)		x; loop = USED(0) && USED(1); assert(!loop)
#endif

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

/* mye_nest_live(): r */
inline nest_live(m)
{
#ifdef M_STATE_FIRST
	r = (mem[STATE(m)] & CLAIMED) != 0;
	r = r || !severed[m]
#else
	atomic { assert(alive_n[m]); r = !severed[m] };
	if
	:: r
#ifndef M_LIVE_NO_CLAIM
	/* through the link: it, and the watch, must be alive */
	:: else -> atomic { assert(alive_n[m]); assert(alive_w[m]); r = (mem[STATE(m)] & CLAIMED) != 0 }
#else
	:: else
#endif
	fi
#endif
}

/*
 * mye_nest_below(): the only other link may hang below the inner instance; n is
 * the result
 */
inline nest_below(l)
{
	m = 1 - l;
	n = 0;
	if
	:: stamp[CHILD(l)] == walk_nr -> n = depth[CHILD(l)]
	:: else ->
		if
		:: linked[m] && OUTER(m) == CHILD(l) ->
			nest_live(m);
			if
#ifndef M_DEPTH_ONLY
			:: r -> n = (CHILD(m) == OUTER(l) -> MAX + 1 : 1)
#else
			:: r -> n = 1
#endif
			:: else
			fi
		:: else
		fi;
		depth[CHILD(l)] = n;
		stamp[CHILD(l)] = walk_nr
	fi
}

/* mye_nest_above(): or above the outer one; added to n */
inline nest_above(l)
{
	m = 1 - l;
	if
	:: stamp[OUTER(l)] == walk_nr -> n = n + depth[OUTER(l)]
	:: else ->
		r = false;
		if
		:: linked[m] && CHILD(m) == OUTER(l) -> nest_live(m)
		:: else
		fi;
		depth[OUTER(l)] = r;
		n = n + r;
		stamp[OUTER(l)] = walk_nr
	fi
}

/* mye_nest_check_locked(): ok */
inline nest_check(l)
{
#ifndef M_NO_WALK_NR
	walk_nr++;
#endif
	nest_below(l);
#ifndef M_NO_WALK_NR
	walk_nr++;
#endif
#ifndef M_NO_ABOVE
	nest_above(l);
#endif
	atomic { ok = n + 1 <= MAX; r = false; n = 0; m = 0 }
}

/* mye_nest_unlink() */
inline nest_unlink(l)
{
#ifndef M_UNLINK_NO_LOCK
	LOCK;
#endif
	linked[l] = false;
	nest[l] = false;
#ifndef M_UNLINK_NO_LOCK
	UNLOCK;
#endif
	alive_n[l] = false
}

/* mye_watch_put() */
inline watch_put(l)
{
	atomic {
		assert(alive_w[l]);
		w_refs[l]--;
		alive_w[l] = w_refs[l] > 0
	}
}

/* mye_watch_end() */
inline watch_end(l)
{
#ifdef M_PUT_FIRST
	watch_put(l);
	nest_unlink(l)
#else
	nest_unlink(l);
	watch_put(l)
#endif
}

/* mye_lane_settle() of a claim that is dropped, mye_lane_end_orphans() */
inline settle(l)
{
	atomic {
		MB;
		ok = !(mem[STATE(l)] & ORPHAN);
		mem[STATE(l)] = IDLE
	}
	if
	:: ok
	:: else ->
#ifdef M_ORPHAN_WAKE_FIRST
		woken = true;
		watch_end(l)
#else
		watch_end(l);
#ifndef M_ORPHAN_NO_WAKE
		woken = true
#endif
#endif
	fi;
	ok = false
}

/* mye_ctl_add() of an instance: ok */
inline add(l)
{
	/* mye_nest_check() */
	LOCK;
	nest_check(l);
	UNLOCK;
	if
	:: ok ->
		/* mye_add_new(): born CLAIMED */
		atomic {
			alive_w[l] = true; w_refs[l] = 1;
			mem[STATE(l)] = CLAIMED; alive_n[l] = true
		}
#ifdef M_HOOK_FIRST
		atomic { USE(hooked[l] = true) };
#endif
		/* mye_nest_link() */
#ifndef M_LINK_NO_LOCK
		LOCK;
#endif
#ifndef M_LINK_NO_CHECK
		nest_check(l);
#endif
		if
		:: ok -> linked[l] = true; nest[l] = true
		:: else -> alive_n[l] = false
		fi;
#ifndef M_LINK_NO_LOCK
		UNLOCK
#endif
	:: else
	fi;
	if
	:: ok ->
		/* mye_watch_hook() is a poll() of the inner instance */
		atomic { USE(inside[l]++) };
		atomic { USE(hooked[l] = true) };
		inside[l]--;
		published[l] = true;
		if
		:: settle(l)
		/* it was ready: mye_lane_hit(), requeued */
		:: atomic { mem[STATE(l)] == CLAIMED -> mem[STATE(l)] = QUEUED }
		fi;
		ok = true
	:: else -> refused[l] = true
	fi
}

/* mye_ctl_add() */
proctype adder(byte id, l)
{
	byte n, m;
	bool r, ok;

	add(l);
	live--
}

/* mye_pass_lane() of the outer instance, with mye_pin() and poll() of the inner */
proctype claimer(byte id, l)
{
	bool ok;

	if
	:: atomic { mem[STATE(l)] == QUEUED && mem[LLK] == 0 -> mem[LLK] = 1 };
		if
		:: mem[STATE(l)] == QUEUED ->
			atomic { STORE(STATE(l), CLAIMED); STORE(LLK, 0) };
#ifndef M_NO_A_LINK
			MB;	/* (A), claimer */
#endif
			atomic {
				ok = !dead[l];
				if
				:: ok -> USE(inside[l]++)
				:: else
				fi
			}
			if
			:: ok -> inside[l]--
			:: else
			fi;
			settle(l)
		:: else -> mem[LLK] = 0
		fi
	:: true
	fi;
	live--
}

/* mye_watch_sever(), under the lock of the table */
inline sever(l)
{
	atomic { published[l] -> published[l] = false; dead[l] = true };
#ifdef M_SEVER_EARLY
	severed[l] = true;
	hooked[l] = false
#else
	hooked[l] = false;
	severed[l] = true
#endif
}

/* mye_watch_finish() */
inline finish(l)
{
	do
	:: mem[STATE(l)] == IDLE -> watch_end(l); break
	:: mem[STATE(l)] == QUEUED ->
		/* mye_lane_unqueue() */
		atomic { mem[LLK] == 0 -> mem[LLK] = 1 };
		if
		:: mem[STATE(l)] == QUEUED -> mem[STATE(l)] = IDLE
		:: else
		fi;
		mem[LLK] = 0
	:: atomic { mem[STATE(l)] == CLAIMED -> mem[STATE(l)] = CLAIMED | ORPHAN };
		break
	od
}

/* mye_del_nested(); then an ADD the other way must be possible, if it asks */
proctype deleter(byte id, l; bool then_add)
{
	byte n, m, o;
	bool r, ok;

	if
	:: refused[l]
	:: published[l] ->
		sever(l);
		w_refs[l]++;
		finish(l);
#ifndef M_DEL_NO_WAIT
		if
		:: !nest[l]
		:: nest[l] ->
			do
			:: atomic { woken -> woken = false };
				if
				:: nest[l]
				:: else -> break
				fi
			od
		fi;
#endif
		watch_put(l);
		if
		:: then_add -> o = 1 - l; add(o); assert(!refused[o])
		:: else
		fi
	fi;
	live--
}

/*
 * The last close of the inner instance's file, which no claimer has pinned:
 * mye_table_release(); then mye_instance_reap_work()
 */
proctype reaper(byte id, l)
{
	atomic { inside[l] == 0 && published[l] -> published[l] = false; dead[l] = true };
	hooked[l] = false;
	severed[l] = true;
	finish(l);
	live--
}

active proctype judge()
{
	timeout ->
	assert(live == 0);
	/* the loser of two ADDs, no more */
	assert(!(refused[0] && refused[1]));
	assert(alive_n[0] == linked[0] && alive_n[1] == linked[1])
}

/* Starting point: this link is there, and its watch is due. */
#define LINKED_AT_FIRST(l) \
	linked[l] = true; nest[l] = true; alive_n[l] = true; \
	alive_w[l] = true; w_refs[l] = 1; hooked[l] = true; published[l] = true; \
	mem[STATE(l)] = QUEUED

init
{
	atomic {
		CONFIG
	}
}
