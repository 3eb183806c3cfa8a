// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs one command in the guest and tells the host about it over one
 * virtio-serial port, apart from the console.
 *
 * Both directions carry frames: a type byte, the length as four bytes little
 * endian, the payload.
 *
 * to the host:	R ready: seconds since boot, as text
 *		o, e stdout, stderr of the command
 *		t a piece of a tar archive of /out
 *		x the status: exit code, or 128 + signal
 *		D the word of success: everything above has been said
 * to the guest:	i input for the command's terminal
 *		w window size: rows, columns, two bytes each
 *		A the host has all of it: go on and power off
 *
 * The order on the single port is what lets the host trust the end: after D
 * nothing can be missing.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PORT_WAIT_MS 10000
#define WORD "myepoll-vm: all said"

static int port = -1;

static void die(const char *what)
{
	fprintf(stderr, "vm-agent: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void write_all(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			die("write");
		p += n;
		len -= n;
	}
}

static void send_frame(char type, const void *data, uint32_t len)
{
	unsigned char head[5] = { type, len, len >> 8, len >> 16, len >> 24 };

	write_all(port, head, sizeof(head));
	write_all(port, data, len);
}

/* The driver makes the node from a work item, some time after insmod. */
static void open_port(void)
{
	const struct timespec pause = { .tv_nsec = 5 * 1000 * 1000 };
	int left = PORT_WAIT_MS / 5;

	while (left--) {
		port = open("/dev/vport0p1", O_RDWR | O_CLOEXEC);
		if (port < 0)
			port = open("/dev/vport1p1", O_RDWR | O_CLOEXEC);
		if (port >= 0)
			return;
		if (errno != ENOENT && errno != ENXIO && errno != ENODEV)
			break;
		nanosleep(&pause, NULL);
	}
	die("no virtio-serial port");
}

/* The arguments of the command, each ended by a NUL. */
static char **load_argv(const char *path)
{
	static char text[65536];
	char **argv;
	ssize_t len;
	int fd, n = 0;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die(path);
	len = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (len <= 0)
		die("empty command");
	argv = calloc(len + 1, sizeof(*argv));
	if (!argv)
		die("calloc");
	for (char *p = text; p < text + len; p += strlen(p) + 1)
		argv[n++] = p;
	return argv;
}

static void run_command(char **argv)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (chdir("/vm"))
		_exit(126);
	signal(SIGPIPE, SIG_DFL);
	execvp(argv[0], argv);
	fprintf(stderr, "vm: cannot run %s: %s\n", argv[0], strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}

static pid_t start_on_pipes(char **argv, int *out, int *err)
{
	int o[2], e[2], null;
	pid_t pid;

	if (pipe2(o, O_CLOEXEC) || pipe2(e, O_CLOEXEC))
		die("pipe");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid) {
		null = open("/dev/null", O_RDONLY);
		if (null < 0 || dup2(null, 0) < 0 || dup2(o[1], 1) < 0 ||
		    dup2(e[1], 2) < 0)
			_exit(126);
		close(null);
		setsid();
		run_command(argv);
	}
	close(o[1]);
	close(e[1]);
	*out = o[0];
	*err = e[0];
	return pid;
}

static pid_t start_on_pty(char **argv, int *out)
{
	pid_t pid = forkpty(out, NULL, NULL, NULL);

	if (pid < 0)
		die("forkpty");
	if (!pid)
		run_command(argv);
	fcntl(*out, F_SETFD, FD_CLOEXEC);
	return pid;
}

/* Moves what is there; false at the end of the stream. */
static bool pass_on(int fd, char type)
{
	static char buf[65536];
	ssize_t n = read(fd, buf, sizeof(buf));

	if (n > 0)
		send_frame(type, buf, n);
	/* A pty reports EIO when its last user has gone. */
	return n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN));
}

static bool read_exact(void *data, size_t len)
{
	char *p = data;

	while (len) {
		ssize_t n = read(port, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		/* 0: the host is not connected (any more) */
		if (n <= 0)
			return false;
		p += n;
		len -= n;
	}
	return true;
}

/* One frame from the host; returns its type, 0 if the host is gone. */
static char from_host(int tty)
{
	static unsigned char buf[65536];
	unsigned char head[5];
	struct winsize ws = { 0 };
	uint32_t len;

	if (!read_exact(head, sizeof(head)))
		return 0;
	len = head[1] | head[2] << 8 | head[3] << 16 | (uint32_t)head[4] << 24;
	if (len > sizeof(buf) || !read_exact(buf, len))
		return 0;
	if (head[0] == 'i' && tty >= 0)
		write_all(tty, buf, len);
	if (head[0] == 'w' && tty >= 0 && len == 4) {
		ws.ws_row = buf[0] | buf[1] << 8;
		ws.ws_col = buf[2] | buf[3] << 8;
		ioctl(tty, TIOCSWINSZ, &ws);
	}
	return head[0];
}

/*
 * Reaps until the command itself is gone, then kills what it left behind: the
 * leftovers hold the pipes, so their end of file would never come.
 */
static void reap(pid_t command, int *status, bool *ended)
{
	int st;
	pid_t pid;

	while ((pid = waitpid(-1, &st, WNOHANG)) > 0) {
		if (pid != command)
			continue;
		*status = WIFSIGNALED(st) ? 128 + WTERMSIG(st) : WEXITSTATUS(st);
		*ended = true;
		kill(-1, SIGKILL);
	}
}

static int serve(pid_t command, int out, int err, bool tty, sigset_t *waitmask)
{
	struct pollfd fds[3] = {
		{ .fd = out, .events = POLLIN },
		{ .fd = err, .events = POLLIN },
		{ .fd = tty ? port : -1, .events = POLLIN },
	};
	bool ended = false;
	int status = 0;

	while (!ended || fds[0].fd >= 0 || fds[1].fd >= 0) {
		/* SIGCHLD gets through only inside ppoll. */
		int n = ppoll(fds, 3, NULL, waitmask);

		if (n < 0 && errno != EINTR)
			die("ppoll");
		reap(command, &status, &ended);
		if (n <= 0)
			continue;
		if (fds[0].revents && !pass_on(out, 'o'))
			fds[0].fd = -1;
		if (fds[1].revents && !pass_on(err, 'e'))
			fds[1].fd = -1;
		if (fds[2].revents && !from_host(out))
			fds[2].fd = -1;
	}
	return status;
}

static void send_files(void)
{
	char *argv[] = { "tar", "-C", "/out", "-cf", "-", ".", NULL };
	int p[2], st;
	pid_t pid;

	if (pipe2(p, O_CLOEXEC))
		die("pipe");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid) {
		if (dup2(p[1], 1) < 0)
			_exit(126);
		run_command(argv);
	}
	close(p[1]);
	while (pass_on(p[0], 't'))
		;
	if (waitpid(pid, &st, 0) != pid || st) {
		errno = EIO;
		die("tar of /out");
	}
}

static void say_ready(void)
{
	struct timespec ts;
	char text[32];
	int len;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	len = snprintf(text, sizeof(text), "%ld.%03ld", (long)ts.tv_sec,
		       ts.tv_nsec / 1000000);
	send_frame('R', text, len);
}

static void on_child(int sig)
{
}

int main(int argc, char **argv)
{
	bool tty = false, files = false;
	int out, err = -1, opt;
	sigset_t block, waitmask;
	unsigned char status;
	char **command;
	pid_t pid;

	while ((opt = getopt(argc, argv, "tf")) != -1) {
		if (opt == 't')
			tty = true;
		else if (opt == 'f')
			files = true;
		else
			return 2;
	}
	/* Orphans of the command become ours, not init's. */
	if (prctl(PR_SET_CHILD_SUBREAPER, 1))
		die("prctl");
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, on_child);
	command = load_argv("/vm/.argv");
	open_port();
	say_ready();

	sigemptyset(&block);
	sigaddset(&block, SIGCHLD);
	sigprocmask(SIG_BLOCK, &block, &waitmask);
	pid = tty ? start_on_pty(command, &out) :
		    start_on_pipes(command, &out, &err);
	status = serve(pid, out, err, tty, &waitmask);
	sigprocmask(SIG_SETMASK, &waitmask, NULL);

	if (files)
		send_files();
	send_frame('x', &status, 1);
	send_frame('D', WORD, strlen(WORD));
	/* Power is not cut before the host has everything. */
	while (1) {
		char type = from_host(-1);

		if (type == 'A' || !type)
			break;
	}
	return 0;
}
