/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Pair (N): a plain ADD does not take mye_nest_lock unless its instance is
 * watched by another one.  One of the two ADDs must see the other and count
 * the paths.  Two plain ADDs on one instance, one nested ADD of that instance.
 *
 * Store buffers as in memory.pml.
 */
#define TARGET(p)	(p)	/* mye_watch.target: ADD has attached it */
#define WATCHED		2	/* mye_instance.watched */
#define NESTLK		3	/* mye_nest_lock */
#define BIT(n)		(1 << (n))

byte mem[4];
chan sb[3] = [4] of { byte, byte };
byte counted;		/* watches whose paths somebody has counted */
byte ended;

#define STORE(a, v)	assert(nfull(sb[id])); sb[id]!(a),(v)
#define MB		empty(sb[id])
#define FLUSH(n)	:: d_step { sb[n]?a,v; mem[a] = v; a = 0; v = 0 }

active proctype flusher()
{
	byte a, v;
end:
	do
	FLUSH(0)
	FLUSH(1)
	FLUSH(2)
	od
}

/* mye_table_insert(), mye_nest_check_leaf() */
proctype plain_add(byte id)
{
	atomic { STORE(TARGET(id), 1) };
#ifndef M_NO_N_PLAIN
	MB;	/* (N), plain ADD */
#endif
	if
	:: mem[WATCHED] == 0
	:: else ->
		atomic { mem[NESTLK] == 0 -> mem[NESTLK] = 1 };
		/* mye_paths_ok() */
		counted = counted | BIT(id);
		STORE(NESTLK, 0)
	fi;
	ended++
}

/* mye_nest_link_locked(), mye_paths_below_ok() */
proctype nested_add(byte id)
{
	atomic { mem[NESTLK] == 0 -> mem[NESTLK] = 1 };
	atomic { STORE(WATCHED, 1) };
#ifndef M_NO_N_NESTED
	MB;	/* (N), nested ADD */
#endif
	if
	:: mem[TARGET(0)] -> counted = counted | BIT(0)
	:: else
	fi;
	if
	:: mem[TARGET(1)] -> counted = counted | BIT(1)
	:: else
	fi;
	STORE(NESTLK, 0);
	ended++
}

active proctype judge()
{
	timeout ->
	assert(ended == 3);
	assert(counted == 3)
}

init
{
	atomic {
		CONFIG
	}
}
