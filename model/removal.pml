/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The end of a watch: paths A to D of REMOVAL, POLLFREE, and everybody who may
 * be at the watch meanwhile.  One watch, of one file, in one instance.
 *
 * Memory that is gone is gone: each step that follows a pointer asserts that
 * its object is alive (USE_*).  An RCU grace period waits for the readers that
 * there are when it is asked for, for nobody else.  M_* are mutations.
 */
#include "objects.pml"

/* mye_lane_hit(), mye_lane_push() */
inline lane_hit()
{
	hit = false;
	do
	:: hit -> break
	:: else ->
		atomic { USE_W; s = state };
		if
		:: s == IDLE ->
			atomic {
				USE_W;
				if
				:: state == s -> state = QUEUED; hit = true
				:: else
				fi
			}
			if
			:: hit -> atomic { USE_W; USE_I; assert(!in_lane); in_lane = true }
			:: else
			fi
		:: s == CLAIMED ->
			atomic {
				USE_W;
				if
				:: state == s -> state = CLAIMED | AGAIN; hit = true
				:: else
				fi
			}
		:: else -> break
		fi
	od
}

/* mye_watch_wake() as long as the owner of the queue may wake it */
inline wake_queue(pollfree)
{
	atomic { alive_q && !qlock && !pollfreed -> qlock = true };
	if
	:: hooked ->
		lane_hit();
		/* mye_wake_one(), mye_wake_pollers() */
		atomic { USE_W; USE_I };
		if
		:: pollfree ->
#ifdef M_POLLFREE_EARLY
			atomic { USE_W; head = false };
			atomic { USE_W; hooked = false }
#else
			atomic { USE_W; hooked = false };
			atomic { USE_W; head = false }
#endif
		:: else
		fi
	:: else
	fi;
	atomic {
		if
		:: pollfree -> pollfreed = true; CALL_RCU(q)
		:: else
		fi;
		hit = false; s = 0;
		UNLOCK(qlock)
	}
}

proctype waker(byte id, n; bool pollfree)
{
	LOCALS;

	do
	:: n && alive_q && !pollfreed -> n--;
		if
		:: wake_queue(pollfree)
		:: !alive_q || pollfreed -> break
		fi
	:: n == 0 -> break
	:: !alive_q || pollfreed -> break
	od;
	live--
}

/* mye_watch_unhook(), mye_hook_remove() */
inline unhook()
{
#ifndef M_UNHOOK_NO_RCU
	/* read-side sections nest */
	atomic { nested = (readers & BIT(id)) != 0; READ_LOCK };
#endif
	atomic { USE_W; got = head };
	if
	:: got ->
		atomic { !qlock || !alive_q -> USE_Q; qlock = true };
		atomic { USE_W; hooked = false; UNLOCK(qlock) }
	:: else
	fi;
	got = false;
#ifndef M_UNHOOK_NO_RCU
	if
	:: nested -> nested = false
	:: else -> READ_UNLOCK
	fi
#else
	skip
#endif
}

/* mye_watch_sever() */
inline sever()
{
	atomic { USE_W; !wlock -> wlock = true };
	atomic { USE_W; dead = true; UNLOCK(wlock) };
#ifdef M_TABLE_EARLY
	atomic { USE_W; in_table = false };
#endif
#ifndef M_NO_UNHOOK
	unhook();
#endif
	atomic { USE_W; in_table = false }
}

/* mye_watch_forget() */
inline forget()
{
	atomic { USE_W; USE_I };	/* the user's count */
	atomic { USE_W; USE_I; in_members = false }
}

/* mye_watch_kill() */
inline kill()
{
	atomic { USE_W; !block -> block = true };
	killed = !dead;
	if
	:: killed ->
#ifdef M_MEMBERS_FIRST
		forget();
		sever()
#else
		sever();
		forget()
#endif
	:: else
	fi;
	UNLOCK(block)
}

/* mye_watch_finish(), mye_lane_unqueue() */
inline finish()
{
	do
	:: atomic { USE_W; s = state };
		if
		:: s == IDLE -> watch_put(); break
		:: s == QUEUED ->
			atomic { USE_W; USE_I; !llock -> llock = true };
			atomic {
				USE_W;
				if
				:: state == QUEUED ->
					assert(in_lane);
#ifndef M_NO_UNQUEUE
					in_lane = false;
#endif
					state = IDLE
				:: else
				fi;
				USE_I;
				UNLOCK(llock)
			}
		:: else ->
			atomic {
				USE_W;
				if
				:: state == s -> state = s | ORPHAN; killed = true
				:: else -> killed = false
				fi
			}
			if
			:: killed -> break
			:: else
			fi
		fi
	od;
	s = 0
}

/*
 * mye_table_release(), mye_watch_release().  The first look is without lock; the
 * barriers that it needs are not modelled, their order is.
 */
inline table_release()
{
	if
	:: in_table ->
		LOCK(block);
		if
		:: in_table ->
#ifdef M_MEMBERS_FIRST
			atomic { USE_W; USE_I; in_members = false };
#endif
			sever();
			atomic { USE_W; simple = (state == IDLE) };
#ifdef M_ALWAYS_SIMPLE
			simple = true;
#endif
#if !defined(M_REAP_NO_REF) && !defined(M_GET_LATE)
			if
			:: simple
			:: else -> atomic { USE_I; assert(i_refs); i_refs++ }
			fi;
#endif
			forget();
#ifdef M_GET_LATE
			if
			:: simple
			:: else -> atomic { USE_I; i_refs++ }
			fi;
#endif
			if
			:: simple -> watch_put()
			:: else -> atomic { USE_W; USE_I; reap = true; reap_work = true }
			fi;
			simple = false
		:: else
		fi;
		UNLOCK(block)
	:: else
	fi
}

/* fput(); __fput() calls the hook, then the file's own release */
inline file_put()
{
	atomic { USE_F; assert(f_refs); f_refs--; got = (f_refs == 0) };
	if
	:: got ->
		got = false;
#ifndef M_NO_HOOK
		table_release();
#endif
		atomic {
			!qlock || pollfreed ->
			if
			:: pollfreed
			:: else -> alive_q = false
			fi;
			CALL_RCU(f)
		}
	:: else
	fi
}

proctype closer(byte id)
{
	LOCALS;

	fd_open = false;
	file_put();
	live--
}

/* mye_lane_claim() of one: got */
inline claim()
{
	atomic { USE_I; !llock -> llock = true };
	atomic {
		got = in_lane;
		if
		:: got -> USE_W; in_lane = false; assert(state == QUEUED); state = CLAIMED
		:: else
		fi;
		UNLOCK(llock)
	}
}

/* mye_ask(), mye_pin(), mye_unpin_last() */
inline evaluate()
{
#ifndef M_PIN_NO_RCU
	READ_LOCK;
#endif
#ifdef M_PIN_BLINDLY
	pinned = true;
#else
	atomic { USE_W; pinned = !dead };
#endif
	if
	:: pinned ->
		atomic {
			USE_F;
			pinned = f_refs > 0;
			if
			:: pinned -> f_refs++
			:: else
			fi
		}
	:: else
	fi;
#ifndef M_PIN_NO_RCU
	READ_UNLOCK;
#endif
	if
	:: pinned ->
		/* poll() */
		atomic { USE_F; assert(alive_q || pollfreed) };
		atomic {
			USE_F;
			if
			:: f_refs > 1 -> f_refs--
			:: else -> USE_W; w_refs++; late = true
			fi;
			pinned = false
		}
	:: else
	fi
}

/* mye_lane_settle() of one */
inline settle(drop)
{
	hit = false;
	if
	:: drop ->
		atomic {
			USE_W;
			hit = state == CLAIMED;
			if
			:: hit -> state = IDLE
			:: else
			fi
		}
	:: else
	fi;
	if
	:: hit
	:: else ->
		atomic { USE_I; !llock -> llock = true };
		atomic {
			USE_W;
			s = state;
			state = QUEUED;
			if
#ifndef M_ORPHAN_REQUEUED
			:: s & ORPHAN
#endif
			:: else -> in_lane = true
			fi;
			USE_I;
			UNLOCK(llock)
		}
		if
#ifndef M_ORPHAN_LOST
		:: s & ORPHAN -> watch_put()
#endif
		:: else
		fi
	fi;
	atomic { hit = false; s = 0; USE_I }
}

/* mye_pass() n times, mye_late_drop() */
proctype harvester(byte id, n)
{
	LOCALS;

	do
	:: n ->
		n--;
		claim();
		if
		:: got ->
			got = false;
			evaluate();
			if
			:: settle(true)
			:: settle(false)
			fi;
			if
			:: late -> late = false; file_put(); watch_put()
			:: else
			fi
		:: else
		fi
	:: else -> break
	od;
	atomic { users--; live-- }
}

/* mye_table_get(): got; the caller holds the file */
inline table_get()
{
	LOCK(block);
	got = in_table;
	if
	:: got ->
		atomic {
			USE_W;
			got = published;
			if
			:: got -> assert(!dead && w_refs); w_refs++
			:: else
			fi
		}
	:: else
	fi;
	UNLOCK(block)
}

/* mye_table_take(): killed; the caller holds the file */
inline table_take()
{
	LOCK(block);
	killed = in_table;
	if
	:: killed -> atomic { USE_W; killed = published }
	:: else
	fi;
	if
	:: killed -> sever(); forget()
	:: else
	fi;
	UNLOCK(block)
}

/* fdget(): pinned */
inline file_get()
{
	atomic {
		pinned = fd_open;
		if
		:: pinned -> f_refs++
		:: else
		fi
	}
}

/* mye_ctl_del() */
proctype deleter(byte id)
{
	LOCALS;

	file_get();
	if
	:: pinned ->
		table_take();
		if
		:: killed -> finish()
		:: else
		fi;
		file_put()
	:: else
	fi;
	atomic { users--; live-- }
}

/* mye_mod_watch(), mye_watch_kick() */
proctype modifier(byte id)
{
	LOCALS;

	file_get();
	if
	:: pinned ->
		table_get();
		if
		:: got ->
			got = false;
			atomic { USE_F; assert(alive_q || pollfreed) };
			atomic { USE_W; !wlock -> wlock = true };
			if
#ifndef M_KICK_DEAD
			:: dead
#endif
			:: else -> lane_hit(); hit = false; s = 0
			fi;
			atomic { USE_W; UNLOCK(wlock) };
			atomic { USE_W; USE_I };
			watch_put()
		:: else
		fi;
		file_put()
	:: else
	fi;
	atomic { users--; live-- }
}

/* mye_add_watch() from when the hooks are there; path D, mye_add_done() */
proctype adder(byte id)
{
	LOCALS;

	if
	:: kill();
		assert(killed);
#ifdef M_ADD_NO_FINISH
		skip
#else
		finish()
#endif
	:: published = true
	fi;
	if
	:: settle(true)
	:: settle(false)
	fi;
	file_put();
	atomic { users--; live-- }
}

/* mye_instance_close(), mye_walk_next() */
proctype instance_closer(byte id)
{
	LOCALS;

	users == 0;
	do
	:: in_members ->
		atomic {
			got = in_members;
			if
			:: got -> USE_W; assert(w_refs); w_refs++
			:: else
			fi
		}
		if
		:: got ->
			got = false;
			kill();
			if
			:: killed -> finish()
			:: else -> assert(!hooked && !in_table)
			fi;
			watch_put()
		:: else
		fi
	:: else -> break
	od;
	instance_put();
	closed = true;
	live--
}

/* mye_instance_reap_work() */
active proctype worker()
{
	byte id = 7;
	LOCALS;

end:
	do
	:: atomic { reap_work -> reap_work = false };
		atomic { USE_I; USE_W; reap = false };
		finish();
#ifndef M_REAP_NO_REF
		instance_put()
#endif
	od
}

/* The end: nobody hangs, nothing leaks. */
active proctype judge()
{
	timeout ->
	assert(live == 0);
	assert(!alive_w);
	assert(!alive_i || !closed);
	assert(!alive_f || f_refs);
	assert(!in_lane && !reap)
}

init
{
	atomic {
		CONFIG
	}
}
