// SPDX-License-Identifier: GPL-2.0-only
/* What /proc/PID/fdinfo says of the watches of both instances of a slot */
#include <stdlib.h>

#include "util.h"
#include "world.h"

#define MAX_LINES	1024

struct watch_line {
	int tfd;
	unsigned int events;
	unsigned long long data;
};

static int by_value(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct watch_line));
}

/* The order of the lines differs by design; what they say must not. */
static int read_watches(int fd, struct watch_line *line)
{
	char path[64], text[256];
	FILE *file;
	int n = 0;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	file = fopen(path, "re");
	if (!file)
		broken(path);
	memset(line, 0, MAX_LINES * sizeof(*line));
	while (n < MAX_LINES && fgets(text, sizeof(text), file)) {
		if (sscanf(text, "tfd: %d events: %x data: %llx", &line[n].tfd,
			   &line[n].events, &line[n].data) != 3)
			continue;
		if (line[n].tfd >= RIGHT_FD(0))
			line[n].tfd -= RIGHT_FD(0) - LEFT_FD(0);
		n++;
	}
	fclose(file);
	qsort(line, n, sizeof(*line), by_value);
	return n;
}

void fdinfo_pair(int slot)
{
	static struct watch_line l[MAX_LINES], r[MAX_LINES];
	int nl, nr, i;

	if (is_closed(LEFT_FD(slot)))
		return;
	nl = read_watches(LEFT_FD(slot), l);
	nr = read_watches(RIGHT_FD(slot), r);
	for (i = 0; i < nl && i < nr; i++) {
		if (by_value(&l[i], &r[i]))
			differ("fdinfo: left %d %x %llx, right %d %x %llx",
			       l[i].tfd, l[i].events, l[i].data,
			       r[i].tfd, r[i].events, r[i].data);
	}
	if (nl != nr)
		differ("fdinfo: %d watches left, %d right", nl, nr);
}
