# SPDX-License-Identifier: GPL-2.0-only
"""The source of the default kernel, Debian's linux-source package: unpacked,
configured, built."""

import os
import re
import subprocess

from . import common, kernel, packages

OPTION = re.compile(r"^(CONFIG_\w+)=(.+)$")
TOOLS = {"make": "make", "flex": "flex", "bison": "bison", "bc": "bc",
         "gcc": "gcc", "ld": "binutils", "xz": "xz-utils"}
LIBELF = "/usr/include/libelf.h"
# Nothing of the host gets into the image.
NEUTRAL = {"KBUILD_BUILD_USER": "myepoll", "KBUILD_BUILD_HOST": "debug",
           "LC_ALL": "C.UTF-8"}


def find():
    """apt's record of the source of the default kernel, and apt."""
    package, version, _ = kernel.resolve(None)
    series = re.match(r"linux-image-(\d+\.\d+)", package).group(1)
    name = f"linux-source-{series}"
    apt = packages.Apt()
    fields = apt.record(name, version) or apt.record(name)
    if not fields:
        raise common.VmError(f"apt does not know {name}; run apt-get update (as "
                             "root) and try again")
    return apt, name, fields["Version"]


def unpack(deb, tree):
    """The source tree, out of the tarball inside the package."""
    tarball = f"./usr/src/{deb.name.split('_')[0]}.tar.xz"
    common.say(f"unpacking {os.path.basename(tarball)}")
    with common.replaced_dir(tree) as temp, \
            subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb],
                             stdout=subprocess.PIPE) as package, \
            subprocess.Popen(["tar", "-xOf", "-", tarball], stdin=package.stdout,
                             stdout=subprocess.PIPE) as outer:
        done = subprocess.run(["tar", "-C", temp, "-xJf", "-",
                               "--strip-components=1"], stdin=outer.stdout,
                              check=False)
        if done.returncode or outer.wait() or not (temp / "Kbuild").exists():
            raise common.VmError(f"{deb.name} cannot be unpacked")
        package.stdout.close()


def need_tools():
    """What building a kernel takes, or an error that says where to get it."""
    for tool, package in TOOLS.items():
        common.need_tool(tool, package)
    if not os.path.exists(LIBELF):
        raise common.VmError("no libelf.h; install the package libelf-dev")


def wanted_options(text):
    """{option: value} of a fragment; the last word counts."""
    return {m.group(1): m.group(2) for m in map(OPTION.match, text.splitlines()) if m}


def unmet(wanted, config):
    """The options that did not get the value they were given."""
    got = wanted_options(config)
    return [f"{name}={value} (is {got.get(name, 'not set')})"
            for name, value in wanted.items() if got.get(name, "n") != value]


def make(tree, *targets):
    """Runs kbuild; its output is shown if it fails."""
    common.command(["nice", "-n", "15", "make", "-C", tree,
                    f"-j{os.cpu_count() or 1}", *targets],
                   f"make {' '.join(targets)}", env={**os.environ, **NEUTRAL})


def configure(tree, text):
    """Writes .config and proves that every wanted option has come true.

    What has not changed keeps its time stamps, and so its objects.
    """
    scratch = tree / "debug.config"
    scratch.unlink(missing_ok=True)
    env = {**os.environ, **NEUTRAL, "KCONFIG_CONFIG": scratch.name}
    for target in ("tinyconfig", "olddefconfig"):
        common.command(["make", "-s", "-C", tree, target], f"make {target}", env=env)
        if target == "tinyconfig":
            with open(scratch, "a", encoding="ascii") as file:
                file.write(text)
    config = scratch.read_text(encoding="ascii")
    missing = unmet(wanted_options(text), config)
    if missing:
        raise common.VmError("the kernel cannot be configured as wanted:\n  " +
                             "\n  ".join(missing))
    current = tree / ".config"
    if not current.exists() or current.read_text(encoding="ascii") != config:
        current.write_text(config, encoding="ascii")
