/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory with store buffers, locks, ghosts: what the models of lanes share.
 *
 * mem[] is what a load without a lock sees.  STORE puts a value into the FIFO
 * buffer of the process, from where the flusher takes it to mem[] at any later
 * time.  MB waits until the buffer is empty; a read-modify-write does so in the
 * same atomic step.  Taking a lock waits for nothing (weaker than x86), letting
 * go of it is a store after WMB.  What is read and written under a lock alone is
 * an ordinary variable (g*): it is current for whoever has the lock.
 *
 * WMB keeps stores in order.  A buffer does that anyway, unless the configuration
 * is WEAK: then stores overtake those to other places, up to the next WMB.
 *
 * A process does not see what is in its own buffer, as a processor would.  OWN
 * asserts that there is nothing of the kind to be seen.
 *
 * Several STOREs in one atomic step lose nothing: only the process itself can
 * see its buffer.
 */
#ifndef NL
#define NL	1	/* lanes */
#endif
#ifndef NW
#define NW	1	/* watches */
#endif
#ifndef K0
#define K0	LEVEL
#endif
#ifndef K1
#define K1	LEVEL
#endif

#define LEVEL	0
#define EDGE	1
#define ONESHOT	2
#define KIND(w)	(w == 0 -> K0 : K1)

#define IDLE	0
#define QUEUED	1
#define CLAIMED	2
#define AGAIN	4

/* mye_sight */
#define EMPTY	0
#define READY	1
#define BUSY	2

#define NONE	7

/* Places in mem[] */
#define DATA(w)	(w)		/* what poll() of the file reads */
#define MASK(w)	(2 + w)		/* mye_watch.mask: is it armed? */
#define STATE(w) (4 + w)	/* mye_watch.state */
#define WSEQ(w)	(6 + w)		/* mye_watch.seq */
#define WLK(w)	(8 + w)		/* mye_watch.lock */
#define FLK(w)	(10 + w)	/* lock of the file's wait queue */
#define INBOX(l) (12 + l)	/* mye_lane.inbox, as a set */
#define LEN(l)	(14 + l)	/* mye_lane.len */
#define CLAIMS(l) (16 + l)	/* mye_lane.claims */
#define LSEQ(l)	(18 + l)	/* mye_lane.seq */
#define LLK(l)	(20 + l)	/* mye_lane.lock */
#define WQN	22		/* is anybody on mye_instance.wq? */
#define WQLK	23		/* its lock */
#define PWQ	24		/* is anybody on mye_instance.pwq? */
#define SETN	25		/* is anybody on mye_instance.settled? */
#define SETLK	26		/* its lock */
#define AGAINS	27		/* mye_instance.again */
#define LANE(w)	(28 + w)	/* mye_watch.lane */
#define NR	30		/* mye_instance.nr_lanes */
#define NMEM	31
#define FENCE	31		/* in a buffer: WMB */

#ifdef GROW
#define NR_LANES mem[NR]
#else
#define NR_LANES NL
#endif

#ifndef NID
#define NID	5	/* processes with a buffer, at most */
#endif
#ifdef WEAK
#define DEPTH	24
#else
#define DEPTH	9		/* enough: STORE asserts that it is */
#endif

#define BIT(n)	(1 << (n))
#define COUNT(s) (((s) & 1) + (((s) >> 1) & 1))

byte mem[NMEM];
chan sb[NID] = [DEPTH] of { byte, byte };

#define STORE(a, v)	assert(nfull(sb[id])); sb[id]!(a),(v)
#define MB		empty(sb[id])
#define OWN(a)		assert(!sb[id]??[eval(a),_])
#ifdef WEAK
#define WMB		if :: empty(sb[id]) :: else -> STORE(FENCE, 0) fi
#else
#define WMB		skip
#endif
#define RELEASE(a)	WMB; STORE(a, 0)

/* Under their locks */
byte gfifo[2];		/* mye_lane.fifo, as a set */
byte gclaims[2];
byte gseq[2];		/* mye_lane.seq */
bool gmask[2];
byte gwseq[2];		/* mye_watch.seq */
byte gdata[2];		/* the file's data: writes (edge), or is there any */
byte wq;		/* set of processes */
byte setq;		/* likewise */
bool sleepy[NID];	/* task state: may sleep */
bool entry[NID];	/* the wait entry on this stack is alive */
bool pwoken;		/* the poller's queue entry was called */
#ifdef ADDER
bool hooked[2];		/* on the file's wait queue */
#endif

/* Ghosts: what the properties speak of */
byte hits[2];		/* callbacks that began */
byte reports[2];	/* deliveries */
byte seen[2];		/* data that a delivery of an edge was about */
byte spent[2];		/* set of seq in which a one-shot was delivered */
byte live;		/* processes that have not ended */
byte in_wq, in_settled, in_poll;	/* sets of sleepers */
byte told;		/* data that poll() said yes about */
#ifdef ADDER
byte shown, made;	/* sets of watches: published, with an event before */
#endif

#ifdef LOOK
/*
 * "due": an event that a caller who comes now must be told, as the thread that
 * made it has returned.  A claim of an edge takes it; reading the file ends it.
 * "instant": callers in whose time there was an instant with nothing due.
 */
byte due, instant;
byte pending[2];	/* callbacks that have decided and not returned */
bool taken[2];		/* an edge is claimed */
#define DUE_CLEAR(w)	due = due & ~BIT(w); pending[w] = 0; \
			if :: due == 0 -> instant = 255 :: else fi; EXCUSE
#define CALL_BEGINS	atomic { \
	if :: due == 0 -> instant = instant | BIT(id) \
	   :: else -> instant = instant & ~BIT(id) fi; \
	EXCUSE_BEGINS }
#define CALL_EMPTY	assert(instant & BIT(id))
#else
#define DUE_CLEAR(w)	skip
#define CALL_BEGINS	skip
#define CALL_EMPTY	skip
#endif

#ifdef EXCUSES
/*
 * Who may leave for other reasons than that nothing is ready must have had an
 * instant in which each watch that was due was in the hands of others.
 */
byte excused;		/* who has had one */
byte holder[2];		/* who has claimed it, and 1; 0: nobody */
#define WITHOUT(w)	((due & BIT(w)) == 0 -> 0 : \
			 (holder[w] -> BIT(holder[w] - 1) : 255))
#define EXCUSE		excused = excused | (255 & ~(WITHOUT(0) | WITHOUT(1)))
#define EXCUSE_BEGINS	excused = excused & ~BIT(id); EXCUSE
#define HELD(w)		holder[w] = id + 1; EXCUSE
#define HELD_NO_MORE(w)	holder[w] = 0
#define CALL_LEFT	assert(excused & BIT(id))
#else
#define EXCUSE		skip
#define EXCUSE_BEGINS	skip
#define HELD(w)		skip
#define HELD_NO_MORE(w)	skip
#define CALL_LEFT	skip
#endif

#ifdef WEAK
/* Write to mem[] what comes behind k other stores, if it may overtake these. */
#define OVERTAKE(n, k) :: d_step { \
	len(sb[n]) > k -> \
	do :: c < k -> sb[n]?a,v; sb[n]!a,v; past = past | BIT(a); c++ \
	   :: else -> break od; \
	sb[n]?a,v; \
	if :: past & (BIT(a) | BIT(FENCE)) || a == FENCE -> sb[n]!a,v; c++ \
	   :: else -> mem[a] = v fi; \
	do :: c < len(sb[n]) -> sb[n]?a,v; sb[n]!a,v; c++ \
	   :: else -> break od; \
	a = 0; v = 0; c = 0; past = 0 }
#define FLUSH(n) :: d_step { \
	sb[n]?a,v; if :: a == FENCE :: else -> mem[a] = v fi; \
	if :: sb[n]?[FENCE,_] -> sb[n]?a,v :: else fi; a = 0; v = 0 } \
	OVERTAKE(n, 1) OVERTAKE(n, 2)
#else
#define FLUSH(n)	:: d_step { sb[n]?a,v; mem[a] = v; a = 0; v = 0 }
#endif

active proctype flusher()
{
	byte a, v;
#ifdef WEAK
	byte c;
	int past;
#endif
end:
	do
	FLUSH(0)
	FLUSH(1)
	FLUSH(2)
#if NID > 3
	FLUSH(3)
#endif
#if NID > 4
	FLUSH(4)
#endif
	od
}

inline acquire(a)
{
	atomic { mem[a] == 0 -> mem[a] = 1 }
}
