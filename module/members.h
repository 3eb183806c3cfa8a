/* SPDX-License-Identifier: GPL-2.0-only */
/* The watches of one instance, see members.c */
#ifndef MYEPOLL_MEMBERS_H
#define MYEPOLL_MEMBERS_H

#include "myepoll.h"

/**
 * struct mye_walk - a walk over the watches of an instance
 * @instance: the instance
 * @lane: index of the lane whose members are walked
 * @mark: stands in that list behind the last watch that was returned; it is
 *	known by having no instance
 */
struct mye_walk {
	struct mye_instance *instance;
	unsigned int lane;
	struct mye_watch mark;
};

void mye_members_add(struct mye_watch *w);
void mye_members_del(struct mye_watch *w);
void mye_walk_begin(struct mye_walk *walk, struct mye_instance *inst);
struct mye_watch *mye_walk_next(struct mye_walk *walk);
void mye_walk_end(struct mye_walk *walk);

#endif /* MYEPOLL_MEMBERS_H */
