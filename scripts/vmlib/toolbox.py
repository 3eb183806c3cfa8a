# SPDX-License-Identifier: GPL-2.0-only
"""The tools of another release of Debian: unpacked into the cache, never installed.

A kernel of a later release is built with a compiler that the host's release does
not have, and the programs of its headers need a later libc.  A cross compiler cannot
be installed beside gcc-multilib.  apt knows which packages such tools take; to run
them a directory is enough, without their scripts.
"""

import os
import pathlib

from . import common, packages

# What kbuild runs, beside the compiler; apt adds what these depend on.
TOOLS = ("make", "dash", "coreutils", "sed", "grep", "findutils", "perl-base",
         "mawk")
# What its programs link to, by the names of newer and older releases.
LIBRARIES = (("libelf1t64", "libelf1"), ("libssl3t64", "libssl3"))
MERGED = ("bin", "sbin", "lib", "lib64")
ENTER = """\
root=$1 count=$2
shift 2
while [ "$count" -gt 0 ]; do
	mount --rbind "$1" "$root$1" || exit 125
	shift
	count=$((count - 1))
done
exec chroot "$root" env -i PATH=/usr/bin:/bin LC_ALL=C.UTF-8 "$@"
"""


def root(suite, wanted):
    """The directory that holds the tools of a suite and the wanted packages, the
    compiler's first."""
    final = common.cache_dir() / "tools" / f"{suite}-{wanted[0]}"
    if final.exists():
        return final
    with common.locked("tools"):
        if not final.exists():
            _fill(packages.private_apt(suite), wanted, final)
    return final


def _fill(apt, wanted, final):
    libraries = [next(filter(apt.record, names), names[0]) for names in LIBRARIES]
    with common.replaced_dir(final) as temp:
        debs = temp / "debs"
        (debs / "partial").mkdir(parents=True)
        common.say(f"downloading {wanted[0]} and the tools of its release")
        # apt checks what arrives against signed hashes.
        apt.call("apt-get", "-q", "-y", "--no-install-recommends", "--download-only",
                 "-o", f"Dir::Cache::archives={debs}", "install", *wanted, *TOOLS,
                 *libraries, what=f"downloading {wanted[0]}")
        for name in MERGED:
            (temp / "usr" / name).mkdir(parents=True)
            (temp / name).symlink_to(f"usr/{name}")
        for deb in sorted(debs.glob("*.deb")):
            packages.unpack(deb, temp)
        packages.remove(debs)
        (temp / "usr/bin/awk").symlink_to("mawk")
        for name in ("dev", "proc"):
            (temp / name).mkdir(exist_ok=True)
        (temp / "tmp").mkdir(exist_ok=True)


def inside(directory, visible, args):
    """The command that runs args in there, with these directories of the host to be
    seen under their own names.  Without root it takes a user namespace."""
    places = ["/dev", "/proc"]
    for path in map(pathlib.Path, visible):
        (directory / path.relative_to("/")).mkdir(parents=True, exist_ok=True)
        places.append(str(path))
    user = [] if os.getuid() == 0 else ["--map-root-user"]
    return [common.need_tool("unshare", "util-linux"), *user, "--mount", "sh", "-c",
            ENTER, "sh", str(directory), str(len(places)), *places, *args]
