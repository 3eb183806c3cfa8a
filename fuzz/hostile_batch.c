// SPDX-License-Identifier: GPL-2.0-only
/*
 * Batches of the hostile mode: what no program should ask for, arguments that
 * other threads write to meanwhile, and a batch that would take minutes.
 */
#include <limits.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "hostile.h"

#define NR_CHANGES	16
#define MOST_CHANGES	(INT_MAX / sizeof(struct myepoll_change))

/* Numbers that no attacker closes: instances, files, and those of the long batch */
#define KEPT_EP		60
#define KEPT_FD		64
#define NR_KEPT		4
#define LONG_EP		68
#define LONG_FD		69

/* A multiple of the size of a page and of that of a change */
#define PIECE_SIZE	(1024UL * 4096 * 3)
#define NR_PIECES	(INT_MAX / PIECE_SIZE + 1)

/*
 * All threads write here, and give it to the kernel, which may find the one half
 * of an argument older than the other.  So no address in it may lead to where
 * something of ours would be overwritten.
 */
static struct {
	struct myepoll_batch batch;
	struct myepoll_wait wait;
	struct myepoll_change change[NR_CHANGES];
	struct wait_memory memory;
} shared;

/* As many changes as there can be, all of which can be made */
static struct myepoll_change *many;

/* Half of them are open for sure, of which half are instances. */
static int batch_fd(struct rng *r)
{
	if (below(r, 2))
		return any_fd(r);
	return (below(r, 2) ? KEPT_EP : KEPT_FD) + below(r, NR_KEPT);
}

static int batch_ep(struct rng *r)
{
	return rarely(r, 3) ? any_fd(r) : KEPT_EP + (int)below(r, NR_KEPT);
}

static uint64_t mostly(struct rng *r, const void *good)
{
	return rarely(r, 6) ? any_address(r, good) : (uintptr_t)good;
}

/* What goes with the change of the same file before it, if there was one */
static int op_after(struct rng *r, int before)
{
	if (before == EPOLL_CTL_DEL || (!before && below(r, 2)))
		return EPOLL_CTL_ADD;
	return rarely(r, 3) ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
}

static void spoil(struct rng *r, struct myepoll_change *change)
{
	change->op = odd(r, change->op);
	change->fd = odd(r, change->fd);
	change->events = rng_next(r);
	change->reserved = odd(r, 0);
}

/* Few files, one of which may be the instance itself */
static void any_changes(struct rng *r, struct myepoll_change *change, int ep)
{
	static const uint32_t modes[] = { 0, EPOLLET, EPOLLONESHOT };
	int fd[] = { batch_fd(r), rarely(r, 8) ? ep : batch_fd(r) };
	int op[2] = { 0 };
	int i;

	for (i = 0; i < NR_CHANGES; i++) {
		int at = below(r, 2);

		op[at] = op_after(r, op[at]);
		change[i] = (struct myepoll_change) {
			.op = op[at],
			.fd = fd[at],
			.events = EPOLLIN | pick(r, modes),
			.data = rng_next(r),
		};
		if (rarely(r, 2 * NR_CHANGES))
			spoil(r, &change[i]);
	}
}

static void any_batch(struct rng *r, struct myepoll_batch *batch,
		      const struct myepoll_change *change,
		      const struct myepoll_wait *wait)
{
	*batch = (struct myepoll_batch) {
		.changes = mostly(r, change),
		.nr = odd(r, below(r, NR_CHANGES + 1)),
		.done = rng_next(r),
		.wait = below(r, 2) ? 0 : mostly(r, wait),
		.waitsize = odd(r, sizeof(*wait)),
		.reserved = rarely(r, 4) ? odd(r, 0) : 0,
	};
}

/* Does not come back before all is over. */
static void start_long_batch(void)
{
	struct myepoll_batch batch = {
		.changes = (uintptr_t)many,
		.nr = MOST_CHANGES,
	};

	ioctl(LONG_EP, MYEPOLL_IOC_BATCH, &batch);
}

void act_batch(struct rng *r)
{
	struct myepoll_change change[NR_CHANGES];
	struct wait_memory memory;
	struct myepoll_wait wait;
	struct myepoll_batch batch;
	unsigned long cmd = MYEPOLL_IOC_BATCH;
	int ep = batch_ep(r);

	any_changes(r, change, ep);
	any_wait(r, &wait, &memory);
	any_batch(r, &batch, rarely(r, 3) ? shared.change : change, &wait);
	if (rarely(r, 16))
		cmd = _IOC(_IOC_DIR(cmd), _IOC_TYPE(cmd), _IOC_NR(cmd),
			   4 * below(r, 16));
	if (rarely(r, 8192))
		start_long_batch();
	else
		ioctl(ep, cmd, mostly(r, rarely(r, 3) ? &shared.batch : &batch));
}

/* A torn wait may ask for more events than fit anywhere but the playground. */
static void scribble_wait(struct rng *r)
{
	struct myepoll_wait wait;

	any_wait(r, &wait, &shared.memory);
	wait.events = (uintptr_t)playground + below(r, PLAY_SIZE);
	shared.wait = wait;
}

void act_scribble(struct rng *r)
{
	int i;

	for (i = 0; i < 10; i++) {
		switch (below(r, 4)) {
		case 0:
			any_batch(r, &shared.batch, shared.change, &shared.wait);
			break;
		case 1:
			scribble_wait(r);
			break;
		case 2:
			spoil(r, &shared.change[below(r, NR_CHANGES)]);
			break;
		default:
			any_changes(r, shared.change, batch_ep(r));
		}
	}
}

/* One piece, mapped again and again: two gigabytes would be dear. */
void long_batch_make(void)
{
	struct myepoll_change change = { .fd = LONG_FD, .events = EPOLLIN };
	int fd = memfd_create("changes", MFD_CLOEXEC);
	char *at = mmap(NULL, NR_PIECES * PIECE_SIZE, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t i;

	if (fd < 0 || ftruncate(fd, PIECE_SIZE) || at == MAP_FAILED)
		die("memory for a long batch");
	for (i = 0; i < NR_PIECES; i++)
		if (mmap(at + i * PIECE_SIZE, PIECE_SIZE, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
			die("memory for a long batch");
	close(fd);
	many = (void *)at;
	for (i = 0; i < PIECE_SIZE / sizeof(change); i++) {
		change.op = i % 2 ? EPOLL_CTL_DEL : EPOLL_CTL_ADD;
		many[i] = change;
	}
}

static void keep_as(int fd, int number)
{
	if (dup2(fd, number) < 0)
		die("a descriptor to keep");
	close(fd);
}

/* In each process: what is kept, and what all those changes are of */
void batch_start(void)
{
	int i;

	for (i = 0; i < NR_KEPT; i++) {
		keep_as(open(MYEPOLL_DEVICE, O_RDWR), KEPT_EP + i);
		keep_as(eventfd(i % 2, EFD_NONBLOCK), KEPT_FD + i);
	}
	keep_as(open(MYEPOLL_DEVICE, O_RDWR), LONG_EP);
	keep_as(eventfd(1, EFD_NONBLOCK), LONG_FD);
}
