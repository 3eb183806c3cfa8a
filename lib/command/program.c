// SPDX-License-Identifier: MIT
/* Looks at a program's file: will the preload library get into it? */
#define _GNU_SOURCE
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "command.h"

/* Where each architecture's ABI has glibc's dynamic linker */
#if defined(__x86_64__)
#define MACHINE		EM_X86_64
#define LOADER		"/lib64/ld-linux-x86-64.so.2"
#elif defined(__aarch64__)
#define MACHINE		EM_AARCH64
#define LOADER		"/lib/ld-linux-aarch64.so.1"
#endif
#define GO_NOTE_NAME	"Go"
#define MAX_LINE	256	/* of #!, as the kernel reads it */
#define MAX_NOTES	65536
#define MAX_SCRIPTS	4	/* interpreters that are scripts themselves */

static bool read_at(int fd, void *to, size_t size, off_t at)
{
	return pread(fd, to, size, at) == (ssize_t)size;
}

/* Does a note of this segment carry the name Go's linker gives its own? */
static bool is_go_note(int fd, const Elf64_Phdr *segment)
{
	size_t size = segment->p_filesz, at = 0;
	char *notes;
	Elf64_Nhdr head;
	bool found = false;

	if (size > MAX_NOTES)
		return false;
	notes = malloc(size);
	if (!notes || !read_at(fd, notes, size, segment->p_offset))
		size = 0;
	while (!found && size - at >= sizeof(head)) {
		memcpy(&head, notes + at, sizeof(head));
		at += sizeof(head);
		if (head.n_namesz > size - at || head.n_descsz > size - at)
			break;
		found = head.n_namesz >= sizeof(GO_NOTE_NAME) &&
			!memcmp(notes + at, GO_NOTE_NAME, sizeof(GO_NOTE_NAME));
		at += (head.n_namesz + 3UL) / 4 * 4 + (head.n_descsz + 3UL) / 4 * 4;
		if (at > size)
			break;
	}
	free(notes);
	return found;
}

/* Another directory's glibc will do as well. */
static bool is_glibc_loader(int fd, const Elf64_Phdr *segment)
{
	char path[MAX_LINE];
	const char *name;

	if (segment->p_filesz < 2 || segment->p_filesz > sizeof(path) ||
	    !read_at(fd, path, segment->p_filesz, segment->p_offset))
		return false;
	path[segment->p_filesz - 1] = '\0';
	name = strrchr(path, '/');
	return !strcmp(name ? name + 1 : path, strrchr(LOADER, '/') + 1);
}

/* It has no interpreter, as a static program has none, and preloads all the same. */
static bool is_the_loader(int fd)
{
	struct stat loader, st;

	return !stat(LOADER, &loader) && !fstat(fd, &st) &&
	       st.st_dev == loader.st_dev && st.st_ino == loader.st_ino;
}

static enum carried elf_carried(int fd)
{
	enum carried carried = CARRIED_STATIC;
	Elf64_Ehdr head;
	Elf64_Phdr segment;
	bool go = false;
	int i;

	if (!read_at(fd, &head, sizeof(head), 0) ||
	    head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_machine != MACHINE)
		return CARRIED_OTHER_BITS;
	for (i = 0; i < head.e_phnum; i++) {
		if (!read_at(fd, &segment, sizeof(segment),
			     head.e_phoff + (off_t)i * sizeof(segment)))
			return CARRIED_UNKNOWN;
		if (segment.p_type == PT_INTERP)
			carried = is_glibc_loader(fd, &segment) ?
				  CARRIED_YES : CARRIED_OTHER_LIBC;
		else if (segment.p_type == PT_NOTE)
			go = go || is_go_note(fd, &segment);
	}
	if (carried == CARRIED_STATIC && is_the_loader(fd))
		return CARRIED_YES;
	return carried == CARRIED_YES && go ? CARRIED_GO : carried;
}

/* Set-user-ID and the like, as far as they change who we are. */
static bool gains_privileges(int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		return false;
	if (((st.st_mode & S_ISUID) && st.st_uid != getuid()) ||
	    ((st.st_mode & S_ISGID) && (st.st_mode & 0010) &&
	     st.st_gid != getgid()))
		return true;
	return geteuid() && fgetxattr(fd, "security.capability", NULL, 0) > 0;
}

/* The interpreter that #! names into @path; false if it names none. */
static bool script_interpreter(const char *line, char *path, size_t size)
{
	size_t skip = strspn(line, " \t");
	size_t length = strcspn(line + skip, " \t\n");

	if (!length || length >= size)
		return false;
	memcpy(path, line + skip, length);
	path[length] = '\0';
	return true;
}

static enum carried file_carried(const char *path, int depth)
{
	char start[MAX_LINE + 1] = "", interpreter[MAX_LINE];
	enum carried carried = CARRIED_UNKNOWN;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return CARRIED_UNKNOWN;
	if (pread(fd, start, MAX_LINE, 0) <= 0)
		goto out;
	if (!memcmp(start, ELFMAG, SELFMAG))
		carried = gains_privileges(fd) ? CARRIED_PRIVILEGED :
						 elf_carried(fd);
	else if (!strncmp(start, "#!", 2) && depth < MAX_SCRIPTS &&
		 script_interpreter(start + 2, interpreter, sizeof(interpreter)))
		carried = file_carried(interpreter, depth + 1);
out:
	close(fd);
	return carried;
}

enum carried program_carried(const char *path)
{
	return file_carried(path, 0);
}

const char *carried_reason(enum carried carried)
{
	switch (carried) {
	case CARRIED_YES:
		return NULL;
	case CARRIED_GO:
		return "is a Go program: its calls go past libc, it gets native epoll";
	case CARRIED_STATIC:
		return "is statically linked: nothing is preloaded, it gets native epoll";
	case CARRIED_OTHER_BITS:
		return "is for 32 bits or another processor: it gets native epoll";
	case CARRIED_OTHER_LIBC:
		return "is not linked to glibc: the library cannot be loaded into it";
	case CARRIED_PRIVILEGED:
		return "gains privileges: nothing is preloaded, it gets native epoll";
	case CARRIED_UNKNOWN:
		return "cannot be examined; it may get native epoll";
	}
	return NULL;
}
