/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What /proc tells about an instance and about the threads that wait on it.
 *
 * Include this after helpers.h.
 */
#ifndef SELFTESTS_OBSERVE_H
#define SELFTESTS_OBSERVE_H

#include <inttypes.h>

#include "helpers.h"

/*
 * struct watch_line - a line of /proc/PID/fdinfo/EPFD
 * @text: the line, without its end
 * The other fields are those of the line.
 */
struct watch_line {
	char text[128];
	int tfd;
	uint32_t events;
	uint64_t data;
	long long pos;
	unsigned long long ino;
	unsigned int sdev;
};

static inline bool parse_watch_line(const char *text, struct watch_line *line)
{
	size_t len = strcspn(text, "\n");
	int used = -1;

	if (len >= sizeof(line->text))
		return false;
	memcpy(line->text, text, len);
	line->text[len] = '\0';
	if (sscanf(line->text,
		   "tfd: %d events: %" SCNx32 " data: %" SCNx64
		   " pos:%lli ino:%llx sdev:%x%n",
		   &line->tfd, &line->events, &line->data, &line->pos,
		   &line->ino, &line->sdev, &used) != 6)
		return false;
	return used == (int)strlen(line->text);
}

/*
 * Reads the watches of @ep.  Returns how many there are and stores at most
 * @max; -1 if the file cannot be read or a line makes no sense.
 */
static inline int read_watches(int ep, struct watch_line *lines, int max)
{
	char path[64], text[256];
	struct watch_line line;
	int n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", ep);
	f = fopen(path, "re");
	if (!f)
		return -1;
	while (fgets(text, sizeof(text), f)) {
		if (strncmp(text, "tfd:", 4))
			continue;
		if (!parse_watch_line(text, &line)) {
			n = -1;
			break;
		}
		if (n < max)
			lines[n] = line;
		n++;
	}
	fclose(f);
	return n;
}

static inline int count_watches(int ep)
{
	return read_watches(ep, NULL, 0);
}

/* The mask that the watch of @fd has by now; ~0 if there is no such watch. */
static inline uint32_t watch_mask(int ep, int fd)
{
	struct watch_line lines[64];
	int n = read_watches(ep, lines, 64);

	for (int i = 0; i < n && i < 64; i++)
		if (lines[i].tfd == fd)
			return lines[i].events;
	return ~0U;
}

/*
 * How often a task gave up the processor to sleep.  A task that sleeps now and
 * has the same count as before has not been woken in between.  -1: no such task.
 */
static inline long sleep_count(pid_t tid)
{
	char path[64], text[256];
	long count = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", tid);
	f = fopen(path, "re");
	if (!f)
		return -1;
	while (fgets(text, sizeof(text), f))
		if (sscanf(text, "voluntary_ctxt_switches: %ld", &count) == 1)
			break;
	fclose(f);
	return count;
}

/* Returns true if the thread has slept all the time since @count was read. */
static inline bool slept_on(struct waiter *w, long count)
{
	return task_state(w->tid) == 'S' && sleep_count(w->tid) == count &&
	       !atomic_load(&w->done);
}

/* Returns true once the thread was woken, whether it came back or slept again. */
static inline bool woken_since(struct waiter *w, long count)
{
	int64_t deadline = now_ns() + PATIENCE_MS * 1000000LL;

	while (!atomic_load(&w->done) && sleep_count(w->tid) == count) {
		if (now_ns() > deadline)
			return false;
		breathe();
	}
	return true;
}

#endif /* SELFTESTS_OBSERVE_H */
