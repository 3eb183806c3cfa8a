// SPDX-License-Identifier: MIT
/* myepoll status: the module, its limits, its instances. */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "../call.h"
#include "command.h"

#define SYS_MODULE	"/sys/module/myepoll"
#define LIMITS		"/proc/sys/fs/myepoll"

static const struct {
	uint32_t bit;
	const char *name;
} event_names[] = {
	{ EPOLLIN, "IN" }, { EPOLLPRI, "PRI" }, { EPOLLOUT, "OUT" },
	{ EPOLLERR, "ERR" }, { EPOLLHUP, "HUP" }, { EPOLLRDNORM, "RDNORM" },
	{ EPOLLRDBAND, "RDBAND" }, { EPOLLWRNORM, "WRNORM" },
	{ EPOLLWRBAND, "WRBAND" }, { EPOLLMSG, "MSG" }, { EPOLLRDHUP, "RDHUP" },
	{ EPOLLEXCLUSIVE, "EXCLUSIVE" }, { EPOLLWAKEUP, "WAKEUP" },
	{ EPOLLONESHOT, "ONESHOT" }, { EPOLLET, "ET" },
};

const char *events_text(uint32_t events, char *text, size_t size)
{
	size_t i, length = 0;

	text[0] = '\0';
	for (i = 0; i < sizeof(event_names) / sizeof(*event_names); i++) {
		if (!(events & event_names[i].bit))
			continue;
		events &= ~event_names[i].bit;
		length += snprintf(text + length, size - length, "%s%s",
				   length ? "|" : "", event_names[i].name);
	}
	if (events || !length)
		snprintf(text + length, size - length, "%s%#x", length ? "|" : "",
			 events);
	return text;
}

/* A line of a file of the kernel's, without its end; false if there is none. */
static bool read_line(const char *path, char *line, size_t size)
{
	FILE *file = fopen(path, "re");
	bool there = file && fgets(line, size, file);

	if (file)
		fclose(file);
	if (there)
		line[strcspn(line, "\n")] = '\0';
	return there;
}

static void show_limit(const char *name)
{
	char path[128], value[32];

	snprintf(path, sizeof(path), LIMITS "/%s", name);
	if (read_line(path, value, sizeof(value)))
		printf("%-18s%s\n", name, value);
	else
		printf("%-18sunknown (%s: %s)\n", name, path, strerror(errno));
}

static void show_features(const struct myepoll_probe *probe)
{
	uint64_t others = probe->features & ~(MYEPOLL_FEATURE_BUSY_POLL |
					      MYEPOLL_FEATURE_WAKEUP |
					      MYEPOLL_FEATURE_BATCH);

	printf("%-18s%u%s\n", "interface", probe->abi_version,
	       probe->abi_version == MYEPOLL_ABI_VERSION ? "" :
	       ", which this command does not know");
	printf("%-18s%s%s%s", "features",
	       probe->features & MYEPOLL_FEATURE_BUSY_POLL ? "busy-poll " : "",
	       probe->features & MYEPOLL_FEATURE_WAKEUP ? "wakeup " : "",
	       probe->features & MYEPOLL_FEATURE_BATCH ? "batch " : "");
	if (others)
		printf("%#lx", others);
	putchar('\n');
}

/* By an instance of our own, which is gone before others are looked for. */
static bool show_device(void)
{
	struct myepoll_probe probe;
	int fd = device_open();

	if (fd < 0) {
		printf("%-18s%s: %s\n", "device", MYEPOLL_DEVICE, strerror(errno));
		return false;
	}
	printf("%-18s%s\n", "device", MYEPOLL_DEVICE);
	if (!call_probe(fd, &probe))
		show_features(&probe);
	close(fd);
	return true;
}

static bool show_module(void)
{
	char version[64] = "", users[32] = "?";
	bool loaded = !access(SYS_MODULE, F_OK);

	if (!loaded) {
		printf("%-18snot loaded\n", "module");
		return show_device();
	}
	if (!read_line(SYS_MODULE "/version", version, sizeof(version)))
		snprintf(version, sizeof(version), "unknown");
	read_line(SYS_MODULE "/refcnt", users, sizeof(users));
	printf("%-18sloaded, version %s, %s open files\n", "module", version, users);
	show_device();
	show_limit("max_user_watches");
	show_limit("max_file_watches");
	return true;
}

static void show_user(uid_t uid)
{
	const struct passwd *user = getpwuid(uid);

	if (user)
		printf("%-10s ", user->pw_name);
	else
		printf("%-10u ", uid);
}

static void show_watch(const struct watch_row *row)
{
	char events[160];

	printf("%19s fd %d %s data %#lx\n", "", row->fd,
	       events_text(row->events, events, sizeof(events)), row->data);
}

static void show_holder(const struct holder *holder, bool first)
{
	char number[16] = "", watches[24] = "";

	if (first) {
		snprintf(number, sizeof(number), "%d", holder->instance + 1);
		snprintf(watches, sizeof(watches), holder->watches < 0 ? "?" : "%ld",
			 holder->watches);
	}
	printf("%8s %8s  ", number, watches);
	show_user(holder->uid);
	printf("%7d %5d  %s%s\n", holder->pid, holder->fd, holder->name,
	       holder->node ? " (opened node)" : "");
}

static void show_holders(const struct holders *holders, bool watches)
{
	size_t i, last;

	printf("%-18s%d\n", "instances", holders->instances);
	if (holders->hidden)
		printf("%-18s%d processes of other users: be root to see them\n",
		       "not seen", holders->hidden);
	if (holders->apart)
		printf("%-18sone that is shared may be listed several times (kcmp is not allowed)\n",
		       "not compared");
	if (holders->count)
		printf("\nINSTANCE  WATCHES  USER           PID    FD  COMMAND\n");
	for (i = 0; i < holders->count; i = last) {
		const struct holder *first = &holders->list[i];

		for (last = i; last < holders->count &&
		     holders->list[last].instance == first->instance; last++)
			show_holder(&holders->list[last], last == i);
		if (watches)
			watches_of(first->pid, first->fd, show_watch);
	}
}

struct status_options {
	bool help;
	bool watches;
	pid_t pid;
};

static int parse(int argc, char **argv, struct status_options *options)
{
	static const struct option longs[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "watches", no_argument, NULL, 'w' },
		{ 0 },
	};
	char *end;
	long number;
	int opt;

	while ((opt = getopt_long(argc, argv, "hw", longs, NULL)) != -1) {
		if (opt != 'h' && opt != 'w')
			return -1;
		if (opt == 'h')
			options->help = true;
		else
			options->watches = true;
	}
	if (options->help || optind == argc)
		return 0;
	errno = 0;
	number = strtol(argv[optind], &end, 10);
	if (optind + 1 < argc || errno || *end || number < 1 || number != (pid_t)number) {
		complain("status: one process ID is expected, not %s", argv[optind]);
		return -1;
	}
	options->pid = number;
	return 0;
}

int cmd_status(int argc, char **argv)
{
	struct status_options options = { 0 };
	struct holders holders;
	bool there;

	if (parse(argc, argv, &options))
		return EXIT_WRONG_USAGE;
	if (options.help)
		return show_help();
	if (options.pid && kill(options.pid, 0) && errno == ESRCH) {
		complain("there is no process %d", options.pid);
		return EXIT_FAILURE;
	}
	there = show_module();
	if (holders_find(&holders, options.pid)) {
		complain("cannot walk through /proc: %s", strerror(errno));
		return EXIT_FAILURE;
	}
	show_holders(&holders, options.watches);
	free(holders.list);
	if (fclose(stdout)) {
		complain("cannot write: %s", strerror(errno));
		return EXIT_FAILURE;
	}
	return there ? EXIT_SUCCESS : EXIT_FAILURE;
}
