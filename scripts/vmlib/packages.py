# SPDX-License-Identifier: GPL-2.0-only
"""Debian packages as a source of files: found and downloaded by apt, unpacked
into the cache, never installed."""

import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile

from . import common


class Apt:
    """apt, either as the host has it configured or with a root of its own."""

    def __init__(self, options=()):
        # The cache is private to its user: there is nothing for _apt to drop
        # its rights to.  What arrives is checked against signed hashes anyway.
        self.options = ["-o", "APT::Sandbox::User="]
        for option in options:
            self.options += ["-o", option]

    def call(self, tool, *args, what, cwd=None):
        """Runs one of the apt tools."""
        common.need_tool(tool, "apt")
        env = dict(os.environ, LC_ALL="C.UTF-8")
        return common.command([tool, *self.options, *args], what, env=env,
                              cwd=cwd)

    @functools.lru_cache(maxsize=None)
    def records(self, package):
        """What apt knows about a package, newest version first."""
        done = subprocess.run(["apt-cache", *self.options, "show", package],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True, check=False)
        records = []
        for block in done.stdout.strip().split("\n\n"):
            fields = dict(re.findall(r"^([A-Z][\w-]*): ?(.*)$", block, re.M))
            # An entry of dpkg's status file cannot be downloaded.
            if "SHA256" in fields:
                records.append(fields)
        return records

    def record(self, package, version=None):
        """One record, or None."""
        for fields in self.records(package):
            if version in (None, fields["Version"]):
                return fields
        return None

    @functools.lru_cache(maxsize=None)
    def debian_sources(self):
        """{(URI, suite, component)} of the Debian archives among apt's sources."""
        text = self.call("apt-get", "indextargets", "--format",
                         "$(ORIGIN) $(REPO_URI) $(RELEASE) $(COMPONENT)",
                         "Created-By: Packages", what="asking apt for its mirrors")
        return {tuple(words[1:]) for words in map(str.split, text.splitlines())
                if len(words) == 4 and words[0] == "Debian"}

    def debian_uris(self):
        """Where those archives are."""
        return {uri.rstrip("/") for uri, _, _ in self.debian_sources()}

    def debian_version(self, package):
        """The newest version that Debian itself offers, or None: other archives may
        have a package of the same name."""
        text = self.call("apt-cache", "madison", package,
                         what=f"asking apt for {package}")
        for line in text.splitlines():
            words = [word.strip() for word in line.split("|")]
            if len(words) == 3 and words[2].endswith(" Packages") and \
                    words[2].split()[0].rstrip("/") in self.debian_uris():
                return words[1]
        return None

    def names(self, prefix):
        """Names of the packages that begin with prefix."""
        return self.call("apt-cache", "pkgnames", prefix,
                         what="asking apt for package names").split()

    def download(self, package, version, directory):
        """Downloads a package unless it is there; returns the file."""
        fields = self.record(package, version)
        if not fields:
            raise common.VmError(
                f"apt does not know {package} version {version}; "
                "run apt-get update (as root) and try again")
        base = os.path.basename(fields["Filename"])
        # apt writes the epoch's colon as %3a.
        for name in (base, f"{package}_{version.replace(':', '%3a')}_"
                           f"{fields['Architecture']}.deb"):
            deb = directory / name
            if deb.exists() and _sha256(deb) == fields["SHA256"]:
                return deb
        size = int(fields.get("Size", 0)) // 1000000
        common.say(f"downloading {package} {version} ({size} MB)")
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=directory) as temp:
            self.call("apt-get", "-q", "download", f"{package}={version}",
                      what=f"downloading {package}", cwd=temp)
            got = [f for f in os.listdir(temp) if f.endswith(".deb")]
            if len(got) != 1 or \
                    _sha256(os.path.join(temp, got[0])) != fields["SHA256"]:
                raise common.VmError(f"the download of {package} does not have "
                                     "the hash apt knows for it")
            os.rename(os.path.join(temp, got[0]), directory / base)
        return directory / base


def own_suite():
    """The suite of the host's release."""
    codename = Apt().call("apt-get", "indextargets", "--format", "$(CODENAME)",
                          "Created-By: Packages", "Origin: Debian", "Label: Debian",
                          what="asking apt for the release").split()
    if not codename:
        raise common.VmError("apt has no Debian mirror configured", common.EXIT_USAGE)
    # The second name is that of updates.
    return min(codename, key=len)


def source(package, directory):
    """Downloads and unpacks the source of a package of the host's own release, into
    a new directory; returns its top."""
    apt = private_apt(own_suite(), "deb-src")
    common.need_tool("dpkg-source", "dpkg-dev")
    directory.mkdir(parents=True, exist_ok=True)
    common.say(f"fetching the source of {package}")
    # apt checks what arrives against signed hashes.
    apt.call("apt-get", "-q", "--download-only", "source", package,
             what=f"downloading the source of {package}", cwd=directory)
    control = list(directory.glob("*.dsc"))
    if len(control) != 1:
        raise common.VmError(f"the source of {package} has no one .dsc")
    common.command(["dpkg-source", "--no-check", "-x", control[0], directory / "tree"],
                   f"unpacking the source of {package}")
    return directory / "tree", control[0].name.split("_", 1)[1][:-len(".dsc")]


KEYRING = "usr/share/keyrings/debian-archive-keyring.gpg"


def mirror():
    """The Debian mirror of apt's own configuration."""
    text = Apt().call("apt-get", "indextargets", "--format",
                      "$(ORIGIN) $(COMPONENT) $(LABEL) $(REPO_URI)",
                      "Created-By: Packages", what="asking apt for its mirrors")
    for line in text.splitlines():
        words = line.split()
        if len(words) == 4 and words[:3] == ["Debian", "main", "Debian"]:
            return words[3]
    raise common.VmError("apt has no Debian mirror configured, or apt-get update "
                         "has never run", common.EXIT_USAGE)


def private_apt(suite, kind="deb"):
    """apt for another suite of the same mirror, with a root in the cache; of kind
    deb-src it has sources instead.

    Signatures are checked with Debian's keyring.  If the host's is too old for
    that suite, the newest the host's own suite offers is tried, for these
    packages only.
    """
    uri = mirror()
    return _with_root(suite if kind == "deb" else f"{suite}-src",
                      [(kind, "", f"{uri} {suite} main")])


def foreign_apt(arch):
    """apt for another architecture, with the archives the host has and a root in
    the cache: dpkg is not told of it."""
    sources = sorted(" ".join(source) for source in Apt().debian_sources())
    if not sources:
        raise common.VmError("apt has no Debian mirror configured, or apt-get update "
                             "has never run", common.EXIT_USAGE)
    return _with_root(arch, [("deb", f"arch={arch} ", source) for source in sources],
                      (f"APT::Architecture={arch}", f"APT::Architectures::={arch}"))


def _with_root(name, sources, options=()):
    root = common.cache_dir() / "apt" / name
    for directory in ("etc", "lists/partial", "cache/archives/partial"):
        (root / directory).mkdir(parents=True, exist_ok=True)
    (root / "status").touch()
    apt = Apt((f"Dir::Etc={root}/etc", f"Dir::Etc::sourcelist={root}/sources.list",
               f"Dir::Etc::sourceparts={root}/none", f"Dir::State::lists={root}/lists",
               f"Dir::State::status={root}/status", f"Dir::Cache={root}/cache",
               "APT::Update::Error-Mode=any", "Acquire::Languages=none", *options))
    failure = None
    with common.locked(f"apt-{name}"):
        for keyring in _keyrings(root):
            (root / "sources.list").write_text("".join(
                f"{kind} [{option}signed-by={keyring}] {source}\n"
                for kind, option, source in sources), encoding="ascii")
            common.say(f"reading the list of packages in {name}")
            try:
                apt.call("apt-get", "-q", "update", what=f"asking the mirror for {name}")
                return apt
            except common.VmError as err:
                failure = err
    raise common.VmError(f"{failure}\n{name} cannot be used: the mirror lacks it, "
                         "or it is signed by keys this host does not have",
                         common.EXIT_USAGE)


def _keyrings(root):
    host = os.path.join("/", KEYRING)
    if os.path.exists(host):
        yield host
    name = "debian-archive-keyring"
    host_apt = Apt()
    newest = host_apt.record(name)
    if newest:
        deb = host_apt.download(name, newest["Version"], common.cache_dir() / "debs")
        unpack(deb, root / "keyring")
        yield root / "keyring" / KEYRING


def _sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def depends(fields, pattern):
    """[(name, version or None)] of a record's dependencies that match."""
    found = []
    for entry in fields.get("Depends", "").split(","):
        match = re.match(r"\s*([a-z0-9][a-z0-9.+-]*)(?:\s*\(= ([^)]+)\))?", entry)
        if match and re.match(pattern, match.group(1)):
            found.append(match.groups())
    return found


def unpack(deb, directory):
    """Unpacks a package's files."""
    common.command([common.need_tool("dpkg-deb", "dpkg"), "-x", deb, directory],
                   f"unpacking {deb.name}")


def fetch(apt, package, directory):
    """Downloads the newest version of a package and unpacks its files."""
    fields = apt.record(package)
    if not fields:
        raise common.VmError(f"the mirror has no {package}", common.EXIT_USAGE)
    unpack(apt.download(package, fields["Version"], common.cache_dir() / "debs"),
           directory)


def members(deb, pattern, names, directory):
    """Takes some files out of the source tarball inside a linux-source package.

    names are paths below the source tree's top.  Returns those that are missing.
    """
    with tempfile.TemporaryDirectory(dir=directory.parent) as temp:
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(deb)],
                              stdout=subprocess.PIPE) as package:
            done = subprocess.run(["tar", "-C", temp, "-xf", "-", "--wildcards",
                                   "./usr/src/" + pattern], stdin=package.stdout,
                                  check=False)
        if package.returncode or done.returncode:
            raise common.VmError(f"{deb} cannot be read")
        tarballs = list(_walk_files(temp))
        if len(tarballs) != 1:
            raise common.VmError(f"{deb.name} does not hold one tarball {pattern}")
        top = re.sub(r"\.tar\.\w+$", "", os.path.basename(tarballs[0]))
        common.say(f"reading {os.path.basename(tarballs[0])}")
        done = subprocess.run(
            ["tar", "-C", str(directory), "-xf", tarballs[0],
             "--strip-components=1", "--occurrence=1",
             *[f"{top}/{n}" for n in names]],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            check=False)
    missing = [n for n in names if not (directory / n).exists()]
    if done.returncode and not missing:
        raise common.VmError(f"unpacking {deb.name}: {done.stderr.strip()}")
    return missing


def _walk_files(directory):
    for base, _, files in os.walk(directory):
        for name in files:
            yield os.path.join(base, name)


def remove(path):
    """Removes a file or a tree, if it is there."""
    if os.path.isdir(path):
        shutil.rmtree(path)
    elif os.path.exists(path):
        os.unlink(path)
