// SPDX-License-Identifier: GPL-2.0-only
/*
 * Limits: sysctls, and the count of watches of each user.
 *
 * The count is ours and not native epoll's, so that a crowd here does not make
 * native ADD fail, and the other way round.
 */
#include <linux/hashtable.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/sysctl.h>

#include "myepoll.h"

/* fs.myepoll.max_user_watches: watches of one user, over all instances */
static unsigned long mye_max_user_watches;

/*
 * fs.myepoll.max_file_watches: watches of one file, over all instances.  Its
 * last close walks over them with preemption disabled.
 */
unsigned long mye_max_file_watches = 1024;

static unsigned long mye_limit_min;
static unsigned long mye_limit_max = LONG_MAX;

static struct ctl_table mye_sysctls[] = {
	{
		.procname	= "max_user_watches",
		.data		= &mye_max_user_watches,
		.maxlen		= sizeof(mye_max_user_watches),
		.mode		= 0644,
		.proc_handler	= proc_doulongvec_minmax,
		.extra1		= &mye_limit_min,
		.extra2		= &mye_limit_max,
	},
	{
		.procname	= "max_file_watches",
		.data		= &mye_max_file_watches,
		.maxlen		= sizeof(mye_max_file_watches),
		.mode		= 0644,
		.proc_handler	= proc_doulongvec_minmax,
		.extra1		= &mye_limit_min,
		.extra2		= &mye_limit_max,
	},
	MYE_SYSCTL_END
};

static struct ctl_table_header *mye_sysctl_header;

/* Accounts without an instance that are kept, as making one is slow */
#define MYE_SPARE_USERS	16

static DEFINE_HASHTABLE(mye_users, 6);
static LIST_HEAD(mye_spare_users);	/* longest unused first */
static unsigned int mye_nr_spare;
static DEFINE_MUTEX(mye_users_lock);

static struct mye_user *mye_user_find(kuid_t uid)
{
	struct mye_user *user;

	lockdep_assert_held(&mye_users_lock);
	hash_for_each_possible(mye_users, user, node, __kuid_val(uid))
		if (uid_eq(user->uid, uid))
			return user;
	return NULL;
}

static struct mye_user *mye_user_new(kuid_t uid)
{
	struct mye_user *user = kzalloc(sizeof(*user), GFP_KERNEL_ACCOUNT);

	if (!user)
		return NULL;
	if (percpu_counter_init(&user->watches, 0, GFP_KERNEL_ACCOUNT)) {
		kfree(user);
		return NULL;
	}
	user->uid = uid;
	INIT_LIST_HEAD(&user->spare);
	hash_add(mye_users, &user->node, __kuid_val(uid));
	return user;
}

/* The account of a user with a reference, or NULL without memory. */
struct mye_user *mye_user_get(kuid_t uid)
{
	struct mye_user *user;

	mutex_lock(&mye_users_lock);
	user = mye_user_find(uid) ?: mye_user_new(uid);
	if (user && !user->instances++ && !list_empty(&user->spare)) {
		list_del_init(&user->spare);
		mye_nr_spare--;
	}
	mutex_unlock(&mye_users_lock);
	return user;
}

/* Free the account that has been spare for longest. */
static void mye_user_free_spare(void)
{
	struct mye_user *user;

	lockdep_assert_held(&mye_users_lock);
	user = list_first_entry(&mye_spare_users, struct mye_user, spare);
	WARN_ON_ONCE(percpu_counter_sum(&user->watches));
	list_del(&user->spare);
	mye_nr_spare--;
	hash_del(&user->node);
	percpu_counter_destroy(&user->watches);
	kfree(user);
}

void mye_user_put(struct mye_user *user)
{
	mutex_lock(&mye_users_lock);
	if (!--user->instances) {
		list_add_tail(&user->spare, &mye_spare_users);
		if (++mye_nr_spare > MYE_SPARE_USERS)
			mye_user_free_spare();
	}
	mutex_unlock(&mye_users_lock);
}

/* Count one more watch: 0 or -ENOSPC. */
int mye_user_charge(struct mye_user *user)
{
	s64 limit = READ_ONCE(mye_max_user_watches);

	if (percpu_counter_compare(&user->watches, limit) >= 0)
		return -ENOSPC;
	percpu_counter_inc(&user->watches);
	return 0;
}

/* Any context that may not be interrupted by charging. */
void mye_user_uncharge(struct mye_user *user)
{
	percpu_counter_dec(&user->watches);
}

/* Let one user's watches take a twenty-fifth of low memory, as native epoll. */
unsigned long mye_default_watches(void)
{
	struct sysinfo si;

	si_meminfo(&si);
	return ((si.totalram - si.totalhigh) / 25 << PAGE_SHIFT) /
	       sizeof(struct mye_watch);
}

int mye_limits_init(void)
{
	mye_max_user_watches = mye_default_watches();
	mye_sysctl_header = register_sysctl("fs/myepoll", mye_sysctls);
	return mye_sysctl_header ? 0 : -ENOMEM;
}

void mye_limits_exit(void)
{
	unregister_sysctl_table(mye_sysctl_header);
	mutex_lock(&mye_users_lock);
	while (mye_nr_spare)
		mye_user_free_spare();
	mutex_unlock(&mye_users_lock);
	WARN_ON_ONCE(!hash_empty(mye_users));
}
