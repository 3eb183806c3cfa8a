/* SPDX-License-Identifier: MIT */
/* The parts of the myepoll command. */
#ifndef MYEPOLL_COMMAND_H
#define MYEPOLL_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Exit statuses beside 0 and a program's own, as env(1) and timeout(1) have them */
#define EXIT_WRONG_USAGE	2
#define EXIT_MYEPOLL		125	/* we could not do it */
#define EXIT_CANNOT_EXEC	126	/* the program is there and does not run */
#define EXIT_NOT_FOUND		127	/* there is no such program */

/* "myepoll: ..." on stderr */
__attribute__((format(printf, 1, 2))) void complain(const char *format, ...);

/* Prints the usage; returns the exit status for that. */
int show_help(void);

/* These return the exit status; the usage follows EXIT_WRONG_USAGE. */
int cmd_run(int argc, char **argv);
int cmd_status(int argc, char **argv);

/*
 * A new instance from the device, close-on-exec; -1 with errno.
 */
int device_open(void);

/**
 * enum carried - whether the preload library gets into a program, and why not
 * @CARRIED_YES: nothing speaks against it
 * @CARRIED_GO: it gets in, and Go's own system calls go past it
 * @CARRIED_STATIC: nobody loads libraries for it
 * @CARRIED_OTHER_BITS: built for another processor, or for 32 bits
 * @CARRIED_OTHER_LIBC: not for glibc
 * @CARRIED_PRIVILEGED: the dynamic linker ignores LD_PRELOAD
 * @CARRIED_UNKNOWN: neither an ELF file nor a script, or it cannot be read
 */
enum carried {
	CARRIED_YES,
	CARRIED_GO,
	CARRIED_STATIC,
	CARRIED_OTHER_BITS,
	CARRIED_OTHER_LIBC,
	CARRIED_PRIVILEGED,
	CARRIED_UNKNOWN,
};

/* Looks at a program, through #! at its interpreter. */
enum carried program_carried(const char *path);

/* A line for a person: what stands behind "PROGRAM"; NULL for CARRIED_YES. */
const char *carried_reason(enum carried carried);

/**
 * struct holder - a descriptor that is an instance
 * @pid: process
 * @fd: number there
 * @uid: owner of the process
 * @node: an opened /dev/myepoll, not an anonymous instance
 * @watches: how many it has; -1 if that cannot be read
 * @instance: number of the instance, the same for holders that share it
 * @name: of the process
 */
struct holder {
	pid_t pid;
	int fd;
	uid_t uid;
	bool node;
	long watches;
	int instance;
	char name[16];
};

/**
 * struct holders - what a walk through /proc has found
 * @list: by instance, each one's in order of process and number
 * @count: how many
 * @instances: how many different ones
 * @hidden: processes whose descriptors may not be looked at
 * @apart: instances that are shared may be listed once for each sharer
 */
struct holders {
	struct holder *list;
	size_t count;
	int instances;
	int hidden;
	bool apart;
};

/* Returns 0, or -1 with errno. @only: one process, or 0 for all. */
int holders_find(struct holders *holders, pid_t only);

/**
 * struct watch_row - a line of an instance's fdinfo
 * @fd: watched descriptor, as the process that added it numbered it
 * @events: mask
 * @data: user data
 */
struct watch_row {
	int fd;
	uint32_t events;
	uint64_t data;
};

/* Calls @each for all watches, returns their number or -1 with errno. */
long watches_of(pid_t pid, int fd, void (*each)(const struct watch_row *row));

/* "IN|ET"; what has no name comes as a number. */
const char *events_text(uint32_t events, char *text, size_t size);

#endif /* MYEPOLL_COMMAND_H */
