// SPDX-License-Identifier: MIT
/* myepoll: runs programs on the module, and shows what it is doing. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"

static const char usage[] =
"usage: myepoll run [-r] [-v] [--io-uring] [--] PROGRAM [ARG]...\n"
"       myepoll status [-w] [PID]\n"
"       myepoll --help | --version\n"
"\n"
"run     runs a program whose epoll instances are those of /dev/myepoll\n"
"  -r, --require  it is to fail where it would get a native instance instead\n"
"  -v, --verbose  it is to say on stderr if it gets a native instance, and why\n"
"  --io-uring     leave it io_uring, although EPOLL_CTL of io_uring fails on our\n"
"                 instances (libuv since 1.45 uses that)\n"
"status  shows the module, its limits, and who has which instances\n"
"  -w, --watches  the watches of each instance as well\n"
"  PID            the instances of this process only\n"
"\n"
"Exit status of run: that of PROGRAM; 125 if it cannot be carried, 126 if it\n"
"cannot be run, 127 if there is no such program.  Of status: 0, or 1 if the\n"
"module is not loaded.  2: wrong usage.\n";

void complain(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	fputs("myepoll: ", stderr);
	vfprintf(stderr, format, ap);
	fputc('\n', stderr);
	va_end(ap);
}

/* What was printed has to get through: a full disk is a failure. */
static int print_and_close(const char *text)
{
	if (fputs(text, stdout) == EOF || fclose(stdout)) {
		complain("cannot write: %s", strerror(errno));
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}

int show_help(void)
{
	return print_and_close(usage);
}

static int command(int argc, char **argv)
{
	/* getopt_long() begins its messages with argv[0]. */
	static char name[] = "myepoll";
	const char *word = argc > 1 ? argv[1] : "";

	if (!strcmp(word, "--help") || !strcmp(word, "-h"))
		return show_help();
	if (!strcmp(word, "--version"))
		return print_and_close("myepoll " MYEPOLL_VERSION "\n");
	if (argc > 1)
		argv[1] = name;
	if (!strcmp(word, "run"))
		return cmd_run(argc - 1, argv + 1);
	if (!strcmp(word, "status"))
		return cmd_status(argc - 1, argv + 1);
	if (*word)
		complain("there is no command %s", word);
	return EXIT_WRONG_USAGE;
}

int main(int argc, char **argv)
{
	int status = command(argc, argv);

	if (status == EXIT_WRONG_USAGE)
		fputs(usage, stderr);
	return status;
}
