/* SPDX-License-Identifier: GPL-2.0-only */
/* The objects that removal.pml is about: state, memory, locks, RCU, references. */
#define IDLE	0
#define QUEUED	1
#define CLAIMED	2
#define AGAIN	4
#define ORPHAN	8

#define BIT(n)	(1 << (n))

/* Memory: the watch with its hook, instance, file, wait queue head */
bool alive_w = true, alive_i = true, alive_f = true;
bool alive_q = true;
#define USE_W	assert(alive_w)
#define USE_I	assert(alive_i)
#define USE_F	assert(alive_f)
#define USE_Q	assert(alive_q)

byte state;		/* mye_watch.state */
bool dead;		/* mye_watch.dead */
bool in_table = true;	/* mye_watch.peer is linked */
bool in_members = true;	/* mye_watch.member is linked */
bool published = true;
bool in_lane;		/* inbox or FIFO */
bool hooked = true;	/* the entry is on the wait queue */
bool head = true;	/* mye_hook.head is not NULL */
bool reap, reap_work;
bool pollfreed;
bool fd_open = true;
byte w_refs = 1, i_refs = 1, f_refs = 1;
byte users;		/* references to the instance's file */
byte live;
bool closed;		/* the instance */

bool block, wlock, qlock, llock;	/* bucket, watch, wait queue, lane */
#define LOCK(l)		atomic { !l -> l = true }
#define UNLOCK(l)	l = false

/* RCU */
byte readers;
bool rcu_f, rcu_q;
byte gp_f, gp_q;
#define READ_LOCK	readers = readers | BIT(id)
#define READ_UNLOCK	atomic { \
	readers = readers & ~BIT(id); \
	gp_f = gp_f & ~BIT(id); gp_q = gp_q & ~BIT(id) }
#define CALL_RCU(x)	assert(!rcu_##x); rcu_##x = true; gp_##x = readers

active proctype rcu()
{
end:
	do
	:: atomic { rcu_f && !gp_f -> rcu_f = false; alive_f = false }
	:: atomic { rcu_q && !gp_q && !qlock -> rcu_q = false; alive_q = false }
	od
}

#define LOCALS	byte s; bool nested, hit, killed, late, pinned, simple, got

/* mye_instance_put() */
inline instance_put()
{
	atomic {
		USE_I;
		assert(i_refs);
		i_refs--;
		if
		:: i_refs == 0 -> assert(!in_lane); assert(!in_members); alive_i = false
		:: else
		fi
	}
}

/* mye_watch_put() */
inline watch_put()
{
	atomic {
		USE_W;
		assert(w_refs);
		w_refs--;
		if
		:: w_refs == 0 ->
			assert(!in_lane);
			assert(!hooked);
			assert(!in_table && !in_members);
			alive_w = false
		:: else
		fi
	}
}
