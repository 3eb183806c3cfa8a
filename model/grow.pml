/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Growth, once, from one lane to two (module/lanes.c), and a removal beside it:
 * a part of wait.pml.
 */

/* mye_lane_move() of any watch from lane 0 to lane 1 */
inline lane_move()
{
	if
	:: gfifo[0] & BIT(0) -> w = 0
	:: gfifo[0] & BIT(1) -> w = 1
	fi;
#ifdef M_MOVE_SHRINK
	atomic { CHANGE(0); STORE(LEN(0), COUNT(gfifo[0]) - 1); CHANGED(0) }
#endif
	acquire(LLK(1));
	atomic {
		CHANGE(1);
#ifndef M_MOVE_LANE
		STORE(LANE(w), 1);
#endif
		gfifo[0] = gfifo[0] & ~BIT(w);
		gfifo[1] = gfifo[1] | BIT(w);
		STORE(LEN(1), COUNT(gfifo[1]));
		CHANGED(1);
		RELEASE(LLK(1));
		w = NONE
	}
#ifndef M_MOVE_SHRINK
	atomic { WMB; CHANGE(0); STORE(LEN(0), COUNT(gfifo[0])); CHANGED(0) }
#endif
}

/* mye_lanes_spread(): the first stays; ANY: if any, to try lane_move() itself */
inline lanes_spread()
{
	acquire(LLK(0));
	drain(0);
#ifdef ANY
	do
	:: gfifo[0] -> lane_move()
	:: break
	od;
#else
	if
	:: COUNT(gfifo[0]) > 1 -> lane_move()
	:: else
	fi;
#endif
	atomic { RELEASE(LLK(0)) }
}

/* mye_lanes_open() */
inline lanes_open()
{
	atomic { WMB; STORE(NR, 2) };
	lanes_spread();
	MB	/* who opens sees what it has stored; nothing depends on it */
}

/* mye_ctl_add() in so far as it calls mye_lanes_grow() */
proctype opener(byte id)
{
	LOCALS;

	lanes_open();
	live--
}

/* mye_lane_unqueue() */
inline lane_unqueue()
{
	l = mem[LANE(w)];
	acquire(LLK(l));
#ifdef M_UNQUEUE_ANY
	hit = mem[STATE(w)] == QUEUED;
#else
	hit = mem[STATE(w)] == QUEUED && mem[LANE(w)] == l;
#endif
	if
	:: hit ->
		drain(l);
		atomic {
			assert(gfifo[l] & BIT(w));
			gfifo[l] = gfifo[l] & ~BIT(w);
			STORE(STATE(w), IDLE);
			CHANGE(l);
			STORE(LEN(l), COUNT(gfifo[l]));
			CHANGED(l);
			seen[w] = gdata[w]	/* nobody is owed it any more */
		}
	:: else
	fi;
	atomic { RELEASE(LLK(l)); hit = false; l = 0 };
	MB	/* it sees its own store of the state */
}

/*
 * mye_watch_finish() of a dead watch that nobody can push.  What becomes of a
 * claimed one is in removal.pml; here it is an edge, and leaves anyway.
 */
proctype remover(byte id, file)
{
	LOCALS;

	w = file;
	do
	:: mem[STATE(w)] == QUEUED -> lane_unqueue()
	:: else -> break
	od;
	atomic { MB -> live-- }
}
