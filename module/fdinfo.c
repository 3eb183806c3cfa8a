// SPDX-License-Identifier: GPL-2.0-only
/*
 * /proc/PID/fdinfo/FD of an instance: a line for each watch, lane by
 * lane and there the newest first, in the format of native epoll.  Holds up
 * nobody but other readers: it keeps no lock of theirs from one watch to the
 * next.
 */
#include <linux/fs.h>
#include <linux/kdev_t.h>
#include <linux/sched.h>
#include <linux/seq_file.h>

#include "members.h"

static void mye_show_watch(struct seq_file *m, struct mye_watch *w)
{
	struct inode *inode;
	long long pos;

	spin_lock(&w->lock);
	/* As long as it is not dead, the file cannot go away under the lock. */
	if (!w->dead && w->published) {
		inode = file_inode(w->file);
		/* data_race: the position is for who reads and writes the file */
		pos = data_race(w->file->f_pos);
		seq_printf(m, "tfd: %8d events: %8x data: %16llx  pos:%lli ino:%lx sdev:%x\n",
			   w->fd, (__force u32)w->mask, w->data,
			   pos,
			   (unsigned long)inode->i_ino, inode->i_sb->s_dev);
	}
	spin_unlock(&w->lock);
}

void mye_show_fdinfo(struct seq_file *m, struct file *file)
{
	struct mye_instance *inst = file->private_data;
	struct mye_walk walk;
	struct mye_watch *w;

	if (mutex_lock_killable(&inst->show_lock))
		return;
	mye_walk_begin(&walk, inst);
	while (!seq_has_overflowed(m) && (w = mye_walk_next(&walk))) {
		mye_show_watch(m, w);
		mye_watch_put(w);
		cond_resched();
	}
	mye_walk_end(&walk);
	mutex_unlock(&inst->show_lock);
}
