/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Two looks at the table without its lock.
 *
 *	twin	an ADD finds that another is making the same watch, and sleeps
 *		until that has ended, well or not: mye_await_twin()
 *	glance	the last close of a file looks whether its bucket is empty before
 *		it takes the lock: then nobody may still be at its wait queue.
 *		Stores leave the buffer in any order here, as nothing but the
 *		barrier keeps what unhooking stores before what hlist_del() does
 *
 * Store buffers as in memory.pml.
 */
#define MADE		0	/* mye_watch.published or dead */
#define SLEEPER		1	/* somebody is on mye_instance.settled */
#define WOKEN		2
#define HOOKED		3	/* the entry is on the file's wait queue */
#define LISTED		4	/* mye_bucket.watches is not empty */
#define BLOCK		5	/* mye_bucket.lock */

byte mem[6];
chan sb[2] = [6] of { byte, byte };
bool queue_gone;
byte ended;

#define STORE(a, v)	assert(nfull(sb[id])); sb[id]!(a),(v)
#define MB		empty(sb[id])

active proctype flusher()
{
	byte a, v, n;
end:
	do
	:: d_step { sb[0]?a,v; mem[a] = v; a = 0; v = 0 }
	:: d_step { sb[1]?a,v; mem[a] = v; a = 0; v = 0 }
#ifdef GLANCE
	/* a younger store overtakes */
	:: d_step { len(sb[0]) > 1 -> sb[0]?a,v; sb[0]!a,v; a = 0; v = 0 }
#endif
	od
}

/* mye_add_watch(), mye_add_done() */
proctype adder(byte id)
{
	atomic { STORE(MADE, 1) };
#ifndef M_NO_TWIN_MB
	MB;
#endif
	if
	:: mem[SLEEPER] -> atomic { STORE(WOKEN, 1) }
	:: else
	fi;
	ended++
}

/* mye_await_twin() */
proctype twin(byte id)
{
	atomic { STORE(SLEEPER, 1) };
#ifndef M_NO_SLEEPER_MB
	MB;	/* prepare_to_wait() */
#endif
	if
	:: mem[MADE]
	:: else -> mem[WOKEN]
	fi;
	ended++
}

/* mye_watch_sever() of the only watch in the bucket */
proctype remover(byte id)
{
	atomic { mem[BLOCK] == 0 -> mem[BLOCK] = 1 };
	if
	:: mem[LISTED] ->
		/* the queue is touched until this store is there */
		assert(!queue_gone);
		atomic { STORE(HOOKED, 0) };
#ifndef M_NO_SEVER_MB
		MB;
#endif
		atomic { STORE(LISTED, 0) };
		MB
	:: else
	fi;
	atomic { STORE(BLOCK, 0) };
	ended++
}

/* mye_table_release(), then the file frees its wait queue */
proctype release(byte id)
{
	if
	:: mem[LISTED] == 0
	:: else ->
		atomic { mem[BLOCK] == 0 -> mem[BLOCK] = 1 };
		if
		:: mem[LISTED] -> atomic { STORE(HOOKED, 0) }; MB; atomic { STORE(LISTED, 0) }
		:: else
		fi;
		MB;
		atomic { STORE(BLOCK, 0) }
	fi;
	assert(!mem[HOOKED]);
	queue_gone = true;
	ended++
}

active proctype judge()
{
	timeout ->
	assert(ended == 2)
}

init
{
	atomic {
		CONFIG
	}
}
