/* SPDX-License-Identifier: GPL-2.0-only */
/* The objects that removal.pml is about: state, memory, locks, RCU, references. */
#define IDLE	0
#define QUEUED	1
#define CLAIMED	2
#define AGAIN	4
#define ORPHAN	8

#define BIT(n)	(1 << (n))

/* Memory: the watch with its hook, target, instance, file, wait queue head */
bool alive_w = true, alive_t = true, alive_i = true, alive_f = true;
bool alive_q = true;
#define USE_W	assert(alive_w)
#define USE_T	assert(alive_t)
#define USE_I	assert(alive_i)
#define USE_F	assert(alive_f)
#define USE_Q	assert(alive_q)

byte state;		/* mye_watch.state */
bool dead;		/* mye_watch.dead */
bool in_table = true, published = true;
bool in_lane;		/* inbox or FIFO */
bool in_target = true;	/* mye_watch.peer is linked; mye_target.nr is 1 */
bool target_known = true;	/* the target is in mye_targets */
bool hooked = true;	/* the entry is on the wait queue */
bool head = true;	/* mye_hook.head is not NULL */
bool reap, reap_work;
bool pollfreed;
bool fd_open = true;
byte w_refs = 1, t_refs = 1, i_refs = 1, f_refs = 1;
byte users;		/* references to the instance's file */
byte live;
bool closed;		/* the instance */

bool tlock, wlock, qlock, llock;
#define LOCK(l)		atomic { !l -> l = true }
#define UNLOCK(l)	l = false

/* RCU */
byte readers;
bool rcu_w, rcu_t, rcu_i, rcu_f, rcu_q;
byte gp_w, gp_t, gp_i, gp_f, gp_q;
#define READ_LOCK	readers = readers | BIT(id)
#define READ_UNLOCK	atomic { \
	readers = readers & ~BIT(id); gp_w = gp_w & ~BIT(id); \
	gp_t = gp_t & ~BIT(id); gp_i = gp_i & ~BIT(id); \
	gp_f = gp_f & ~BIT(id); gp_q = gp_q & ~BIT(id) }
#define CALL_RCU(x)	assert(!rcu_##x); rcu_##x = true; gp_##x = readers

active proctype rcu()
{
end:
	do
	:: atomic { rcu_w && !gp_w -> rcu_w = false; alive_w = false }
	:: atomic { rcu_t && !gp_t -> rcu_t = false; alive_t = false }
	:: atomic { rcu_i && !gp_i -> rcu_i = false; alive_i = false }
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
		:: i_refs == 0 -> assert(!in_lane); CALL_RCU(i)
		:: else
		fi
	}
}

/* mye_watch_put(), mye_target_put() */
inline watch_put()
{
	atomic {
		USE_W;
		assert(w_refs);
		w_refs--;
		if
		:: w_refs == 0 ->
			USE_T;
			assert(!in_lane && !hooked && !in_table);
			t_refs--;
			if
			:: t_refs == 0 -> CALL_RCU(t)
			:: else
			fi;
			CALL_RCU(w)
		:: else
		fi
	}
}
