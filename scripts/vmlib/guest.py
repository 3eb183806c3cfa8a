# SPDX-License-Identifier: GPL-2.0-only
"""Boots QEMU and talks to the agent inside."""

import ctypes
import json
import os
import pathlib
import re
import selectors
import signal
import socket
import struct
import subprocess
import sys
import tarfile
import time

from . import arch, common

KERNEL_ARGS = ("panic=-1 oops=panic panic_on_warn=1 loglevel=5 "
               "unknown_nmi_panic=1 sysrq_always_enabled=1 "
               "random.trust_cpu=on")
# How long a guest may take to power off once all is said, or to answer a
# question about its state before it is killed.
POWEROFF_S = 30
ANSWER_S = 5
WORD = b"myepoll-vm: all said"


def kvm_usable():
    """KVM only where the CPU says so too: the node alone proves nothing."""
    try:
        flags = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    except OSError:
        return False
    return bool({"vmx", "svm"} & set(flags)) and \
        os.access("/dev/kvm", os.R_OK | os.W_OK)


def accelerator(icount, target):
    """QEMU's options for how instructions are run."""
    if icount:
        return ["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off",
                "-cpu", target.cpu]
    if target.name == arch.HOST and kvm_usable():
        return ["-accel", "kvm", "-cpu", "host"]
    return ["-accel", "tcg,thread=multi", "-cpu", target.cpu]


LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1


def die_with_parent():
    """No QEMU is left behind, not even if this process is killed with -9."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def pin(pid, cpus):
    """Gives each virtual CPU of a QEMU one CPU of the host's to itself, if there
    are as many; says whether.  Two of them on one, of which one polls, wait for
    each other as long as the host's scheduler likes."""
    ours = sorted(os.sched_getaffinity(0))
    if len(ours) < cpus:
        return False
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        match = re.match(r"CPU (\d+)/", (task / "comm").read_text(encoding="ascii"))
        if match:
            os.sched_setaffinity(int(task.name), {ours[int(match[1])]})
    return True


class Result:
    """What came of a run."""

    def __init__(self):
        self.ready = None	# seconds after power-on, or None
        self.status = None	# of the command, or None
        self.word = False	# the word of success was there
        self.deadline = False
        self.qemu = None	# QEMU's exit status
        self.state = ""		# what a hung guest was doing


class Guest:
    """One virtual machine, from start to end.

    target is its architecture; sink takes the bytes of the command's stdout and
    stderr; tar_file, if given, those of the archive of /out.
    """

    def __init__(self, target, workdir, log, sink=None, tar_file=None):
        self.target = target
        self.workdir = pathlib.Path(workdir)
        self.log = log
        self.sink = sink or self._to_stdio
        self.tar_file = tar_file
        self.result = Result()
        self.qemu = None
        self.selector = selectors.DefaultSelector()
        self.inbox = b""
        self.console = None
        self.agent = None
        self.console_bytes = 0
        self.hung_at = 0
        self.started = 0.0
        self.boot_s = 0.0
        self.pinned = 0		# virtual CPUs that are to get one each

    @staticmethod
    def _to_stdio(kind, data):
        stream = sys.stdout.buffer if kind == "o" else sys.stderr.buffer
        stream.write(data)
        stream.flush()

    def start(self, image, initrd, options):
        """Starts QEMU; options has cpus, mem, icount, pin, append, qemu_args."""
        qemu = common.need_tool(self.target.qemu, self.target.package)
        accel = accelerator(options.icount, self.target)
        append = [f"console={self.target.console}", KERNEL_ARGS,
                  *([] if "kvm" in accel else self.target.boot)]
        listeners = {}
        args = [qemu, "-nodefaults", "-no-user-config", "-display", "none",
                "-no-reboot", *self.target.machine, *accel,
                "-smp", str(options.cpus), "-m", str(options.mem),
                "-kernel", str(image), "-initrd", str(initrd),
                "-append", " ".join(append + options.append),
                "-device", "virtio-serial-pci",
                "-device", "virtserialport,nr=1,chardev=agent,name=agent",
                "-serial", "chardev:console", "-mon", "chardev=qmp,mode=control"]
        for name in ("agent", "console", "qmp"):
            path = self.workdir / f"{name}.sock"
            listeners[name] = socket.socket(socket.AF_UNIX)
            listeners[name].bind(str(path))
            listeners[name].listen(1)
            args += ["-chardev", f"socket,id={name},path={path}"]
        if options.pin:
            self.pinned = options.cpus
            args += ["-name", "guest,debug-threads=on"]
        args += options.qemu_args
        self.started = time.monotonic()
        # A session of its own: ^C on our terminal is ours to handle.
        with open(self.workdir / "qemu.out", "wb") as out:
            self.qemu = subprocess.Popen(
                args, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                start_new_session=True, preexec_fn=die_with_parent)
        self.agent = self._accept(listeners["agent"])
        self.console = self._accept(listeners["console"])
        self.qmp = self._accept(listeners["qmp"])
        self.selector.register(self.agent, selectors.EVENT_READ, self._on_agent)
        self.selector.register(self.console, selectors.EVENT_READ,
                               self._on_console)

    def _accept(self, listener):
        listener.settimeout(0.2)
        while True:
            try:
                conn, _ = listener.accept()
                listener.close()
                return conn
            except socket.timeout:
                if self.qemu.poll() is not None:
                    raise common.VmError(
                        f"QEMU did not start (status {self.qemu.returncode}): "
                        f"{self.qemu_says()}") from None

    def qemu_says(self):
        """QEMU's own messages."""
        return (self.workdir / "qemu.out").read_text(errors="replace").strip()

    def watch(self, file, callback):
        """Lets another file take part in the loop (the user's terminal)."""
        self.selector.register(file, selectors.EVENT_READ, callback)

    def send(self, kind, data=b""):
        """A frame to the agent."""
        self.agent.setblocking(True)
        self.agent.sendall(kind.encode() + struct.pack("<I", len(data)) + data)

    def _on_console(self):
        data = self._receive(self.console)
        self.log.write(data)
        self.console_bytes += len(data)

    def _receive(self, sock):
        try:
            data = sock.recv(1 << 16)
        except ConnectionError:
            data = b""
        if not data:
            self.selector.unregister(sock)
        return data

    def _on_agent(self):
        self.inbox += self._receive(self.agent)
        while len(self.inbox) >= 5:
            kind = chr(self.inbox[0])
            length = struct.unpack_from("<I", self.inbox, 1)[0]
            if len(self.inbox) < 5 + length:
                break
            data = self.inbox[5:5 + length]
            self.inbox = self.inbox[5 + length:]
            self._on_frame(kind, data)

    def _on_frame(self, kind, data):
        if kind == "R":
            self.boot_s = time.monotonic() - self.started
            self.result.ready = float(data)
            if self.pinned and not pin(self.qemu.pid, self.pinned):
                common.say(f"not pinned: {self.pinned} virtual CPUs, and fewer of "
                           "the host's")
        elif kind in "oe":
            self.sink(kind, data)
        elif kind == "t" and self.tar_file:
            self.tar_file.write(data)
        elif kind == "x":
            self.result.status = data[0]
        elif kind == "D" and data == WORD:
            self.result.word = True
            self.send("A")
        else:
            raise common.VmError(f"the guest's agent sent an unknown frame {kind!r}")

    def _turn(self, until):
        left = max(0, until - time.monotonic())
        for key, _ in self.selector.select(min(left, 0.5)):
            key.data()

    def _alive(self):
        # QEMU is over when both channels are at their end, not before: what
        # it wrote last is still in the sockets when the process is gone.
        open_socks = [k for k in self.selector.get_map().values()
                      if k.fileobj in (self.agent, self.console)]
        return bool(open_socks)

    def run(self, timeout):
        """Serves the guest until it powers off or its time is up."""
        until = time.monotonic() + timeout
        while self._alive():
            said = self.result.word
            self._turn(until)
            if self.result.word and not said:
                until = time.monotonic() + POWEROFF_S
            if time.monotonic() >= until:
                self.result.deadline = True
                self.hung_at = self.console_bytes
                self.result.state = self._interrogate()
                break
        self.stop()

    def left(self):
        """Ends the guest because its user wants that."""
        self.qemu.kill()
        self.stop()
        self.result.status = 0
        self.result.word = True

    def stop(self):
        """Collects QEMU, killed if it has not ended by itself."""
        if self.result.deadline:
            self.qemu.kill()
        self.result.qemu = self.qemu.wait()
        while self._alive():
            self._turn(time.monotonic() + 0.1)

    def kill(self):
        """Ends QEMU if something has gone wrong on our side."""
        if self.qemu and self.qemu.poll() is None:
            self.qemu.kill()
            self.qemu.wait()

    def _qmp(self, command, **arguments):
        request = {"execute": command}
        if arguments:
            request["arguments"] = arguments
        self.qmp.sendall(json.dumps(request).encode() + b"\n")
        while True:
            line = self.qmp_file.readline()
            if not line:
                raise OSError("QEMU is gone")
            answer = json.loads(line)
            if "return" in answer or "error" in answer:
                return answer

    def _console_after(self, action):
        """What the console says from an action until it falls silent."""
        self.log.flush()
        before = self.console_bytes
        action()
        end = time.monotonic() + ANSWER_S
        quiet = time.monotonic() + 1.5
        while self._alive() and time.monotonic() < min(end, quiet):
            seen = self.console_bytes
            self._turn(time.monotonic() + 0.1)
            if seen != self.console_bytes:
                quiet = time.monotonic() + 1.0
        return self.console_bytes - before

    def _sysrq(self, key):
        # A break on the serial line, then the key: the kernel's own door,
        # open as long as the CPU takes interrupts.
        self._qmp("chardev-send-break", id="console")
        self.console.sendall(key)

    def _registers(self):
        """The lines that say where each CPU is."""
        text = self._qmp("human-monitor-command",
                         **{"command-line": "info registers -a"}).get("return", "")
        return "\n".join(line for line in text.replace("\r", "").split("\n")
                         if line.startswith(("CPU#", self.target.counter)))

    def _interrogate(self):
        """Asks a hung guest what it is doing; the answers go to the log too."""
        self.qmp.settimeout(ANSWER_S)
        self.qmp_file = self.qmp.makefile("rb")
        text = []
        try:
            self.qmp_file.readline()
            self._qmp("qmp_capabilities")
            text.append(self._registers())
            if self._console_after(lambda: self._sysrq(b"l")):
                self._console_after(lambda: self._sysrq(b"t"))
            else:
                text.append("no answer to sysrq: interrupts are off or the console "
                            "is stuck; sending an NMI")
                self._console_after(lambda: self._qmp("inject-nmi"))
        except (OSError, ValueError) as err:
            text.append(f"QEMU itself does not answer: {err}")
        return "\n".join(text)


def interesting(lines):
    """The answer to sysrq without the kernel's own threads (children of pid 2)
    and without the scheduler's statistics."""
    kept = []
    show = True
    for line in lines:
        if "task:" in line:
            show = not re.search(r"pid:2\s|ppid:2\s", line)
        elif "Sched Debug Version" in line or "Showing busy workqueues" in line:
            show = False
        elif "sysrq:" in line or "NMI" in line:
            show = True
        if show:
            kept.append(line)
    return kept


def unpack_files(tar_path, directory):
    """Brings the guest's /out to a directory of the host."""
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    with tarfile.open(tar_path) as tar:
        for member in tar:
            # The guest is a test subject, not someone to trust.
            clean = os.path.normpath(member.name)
            if clean.startswith(("/", "..")) or not (member.isreg() or
                                                     member.isdir()):
                common.say(f"left out of the files that came back: {member.name}")
                continue
            member.uid, member.gid = os.getuid(), os.getgid()
            member.mode |= 0o600
            tar.extract(member, directory, set_attrs=False)
