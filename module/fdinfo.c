// SPDX-License-Identifier: GPL-2.0-only
/*
 * /proc/PID/fdinfo/FD of an instance: a line for each watch, by descriptor
 * number, in the format of native epoll.  Holds up nobody: it walks the table
 * under RCU and looks at each watch under that watch's lock.
 */
#include <linux/fs.h>
#include <linux/kdev_t.h>
#include <linux/sched.h>
#include <linux/seq_file.h>

#include "myepoll.h"

static void mye_show_watch(struct seq_file *m, struct mye_watch *w)
{
	struct inode *inode;

	spin_lock(&w->lock);
	/* As long as it is not dead, the file cannot go away under the lock. */
	if (!w->dead && w->published) {
		inode = file_inode(w->file);
		seq_printf(m, "tfd: %8d events: %8x data: %16llx  pos:%lli ino:%lx sdev:%x\n",
			   w->fd, (__force u32)w->mask, w->data,
			   (long long)w->file->f_pos,
			   (unsigned long)inode->i_ino, inode->i_sb->s_dev);
	}
	spin_unlock(&w->lock);
}

/* A chain of one number, newest first; takes over the reference to @w. */
static void mye_show_chain(struct seq_file *m, struct mye_watch *w)
{
	struct mye_watch *older;

	while (w) {
		mye_show_watch(m, w);
		older = seq_has_overflowed(m) ? NULL : mye_table_older(w);
		mye_watch_put(w);
		w = older;
		cond_resched();
	}
}

void mye_show_fdinfo(struct seq_file *m, struct file *file)
{
	struct mye_instance *inst = file->private_data;
	struct mye_watch *w;
	int fd = 0;

	while ((w = mye_table_next(inst, &fd))) {
		mye_show_chain(m, w);
		if (seq_has_overflowed(m) || fd == INT_MAX)
			return;
		fd++;
	}
}
