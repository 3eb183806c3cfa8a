/* SPDX-License-Identifier: GPL-2.0-only */
/* What operations on a pair of instances have in common. */
#ifndef FUZZ_PAIR_H
#define FUZZ_PAIR_H

#include "backend.h"
#include "world.h"

/**
 * struct answer - what a call said
 * @ret: its result
 * @err: errno, if that is -1
 * @ev: of a wait, the events
 */
struct answer {
	int ret;
	int err;
	struct epoll_event ev[MAX_EVENTS];
};

enum kind_of_ep { EP_CLOSED, EP_OTHER, EP_INSTANCE };

extern struct answer left, right;

/* Here memory ends, with room for all events, or all changes, before it. */
extern char *page_end;
extern char *changes_end;

int left_fd(int ref);
int right_fd(int ref);
enum kind_of_ep kind_of(int ref);
bool is_mixed(int ref);
const struct backend *right_backend(int ref);
bool breaks(const char *how);
int ours_error(int ref, enum kind_of_ep kind);

void say(struct answer *a, int ret);
void compare(const char *what);
void differs(const char *what);
void answer_is(const char *side, const struct answer *a, int ret, int err);

void poll_pair(int slot, short events);

void ctl_left(const struct op *op);
bool bad_event(const struct op *op);
int break_ctl(int ret);

/* pairwait.c */
void wait_pair(const struct op *op);
void ask_pair(const struct op *op);
void ask_left(const struct op *op);
void ask_right(const struct op *op, struct answer *a);
struct epoll_event *buffer_of(const struct op *op, struct answer *a);
void wait_is_over(struct answer *a, const struct backend *be,
		  const struct op *op, const struct epoll_event *ev);
void judge_wait(const struct op *op);
int wait_refusal(const struct op *op);
long wait_ns(const struct op *op);
void compare_events(void);

/* pairset.c */
void compare_sets(const struct op *op);
void compare_sorted(void);

#endif /* FUZZ_PAIR_H */
