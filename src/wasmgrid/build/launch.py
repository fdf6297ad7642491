"""The last steps before a compiler: run as a file by `sandbox`, it becomes what its configuration says.

    python -I -S launch.py < configuration (one JSON object)

Between fork and exec of a large threaded parent nothing but exec is safe, so all that has to happen in the child
happens here: joining a cgroup, dropping root, limits, a leash to the parent, Landlock where there are no namespaces.

A user who was root cannot reach a toolchain below /root any more. So root shows everything that the sandbox needs once
more under a /tmp of its own (a private mount namespace that only this child has), where anyone may pass.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import platform
import resource
import signal
import struct
import sys
import time
from pathlib import Path

_CLONE_NEWNS = 0x00020000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_BIND, _MS_REC, _MS_PRIVATE = 1, 2, 4, 4096, 16384, 1 << 18
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP = 1, 36, 38, 22
NOBODY = 65534
STAGE = "/tmp"  # noqa: S108 - in a mount namespace of its own
FAILED = 125
_POLL_S = 0.005

# Landlock's calls have the same numbers everywhere. Rights: execute 1, write 2, read 4, list 8, truncate 1 << 14.
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_LANDLOCK_SCOPES = 6  # the version that can keep signals in
_READ = 1 | 4 | 8
_ON_FILES = 1 | 2 | 4 | 1 << 14
# socket, ptrace, process_vm_readv, process_vm_writev, io_uring_setup, by machine type
_X86_64 = 0xC000003E
_CALLS = {"x86_64": (_X86_64, (41, 101, 310, 311, 425)), "aarch64": (0xC00000B7, (198, 117, 270, 271, 425))}

_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Read the configuration, do what it says, become the compiler (or bubblewrap)."""
    config = json.load(sys.stdin)
    os.dup2(_stdin(config.get("stdin", "")), 0)
    for procs in config["cgroups"]:
        with contextlib.suppress(OSError):
            Path(procs).write_text(str(os.getpid()), encoding="ascii")
    if config["stage"]:
        _stage(config["stage"])
    if config["drop"]:
        _drop()
    parent = config["parent"]
    if config["supervise"]:
        parent = _supervise(parent)
    _set_limits(config["rlimits"])
    _die_with(parent, signal.SIGKILL)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    if config["landlock"]:
        _confine(**config["landlock"])
    os.chdir(config["cwd"])
    os.execve(config["argv"][0], config["argv"], config["env"])  # noqa: S606 - no shell is the point


def _stdin(text: str) -> int:
    """A descriptor to read `text` from; it ends at once where that is empty."""
    fd = os.memfd_create("stdin")
    os.write(fd, text.encode())
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _stage(names: dict[str, str]) -> None:
    """Show each host path at its staged name. Opened before /tmp is covered: they may lie below it."""
    _check(_libc.unshare(_CLONE_NEWNS), "unshare")
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    opened = {staged: os.open(path, os.O_PATH | os.O_CLOEXEC) for staged, path in names.items()}
    _mount("tmpfs", STAGE, "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=0755,size=1m")
    for staged, fd in opened.items():
        Path(staged).mkdir(mode=0o755)
        _mount(f"/proc/self/fd/{fd}", staged, None, _MS_BIND | _MS_REC)
        os.close(fd)


def _drop() -> None:
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def _supervise(parent: int) -> int:
    """Fork; the child returns, with its parent's pid. The other side lives until it has ended all that the child left.

    Without a process namespace, a daemon that the compiler forked would live on: it becomes this process's child.
    """
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)

    def stop(*_: object) -> None:
        _end_all()
        os._exit(128 + signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    _die_with(parent, signal.SIGTERM)
    supervisor = os.getpid()
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.setsid()
        return supervisor
    status = 0
    while True:
        pid, ended = os.wait()
        if pid == child:
            status = ended
            break
    _end_all()
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


def _end_all() -> None:
    """Kill children, and theirs as they become ours, until there are none.

    The list of children may miss some while others end, so nothing here waits for a particular one.
    """
    while True:
        threads = Path("/proc/self/task").iterdir()
        for child in [child for thread in threads for child in (thread / "children").read_text().split()]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
        except ChildProcessError:
            return
        time.sleep(_POLL_S)


def _set_limits(limits: dict[str, int]) -> None:
    for name, value in limits.items():
        number = getattr(resource, name)
        _, hard = resource.getrlimit(number)
        most = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(number, (most, most))


def _die_with(parent: int, number: int) -> None:
    """After any change of user: that clears it."""
    _prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os._exit(FAILED)


def _confine(read: list[str], write: list[str]) -> None:
    """Landlock: only what lies below these paths, no signals out; seccomp: no sockets. Both outlive exec."""
    version = _libc.syscall(_LANDLOCK_CREATE, None, 0, 1)
    _check(min(version, 0), "landlock")
    files = (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)) - 1  # the access rights that this kernel knows
    attributes = struct.pack("=QQQ", files, 0, 3 if version >= _LANDLOCK_SCOPES else 0)
    size = 24 if version >= _LANDLOCK_SCOPES else 8
    ruleset = _libc.syscall(_LANDLOCK_CREATE, attributes, size, 0)
    _check(min(ruleset, 0), "landlock")
    for paths, rights in ((read, _READ), (write, files)):
        for path in paths:
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
            allowed = rights if Path(path).is_dir() else rights & _ON_FILES
            _check(_libc.syscall(_LANDLOCK_ADD, ruleset, 1, struct.pack("=Qi", allowed, fd), 0), f"landlock {path}")
            os.close(fd)
    _check(_libc.syscall(_LANDLOCK_RESTRICT, ruleset, 0), "landlock")
    os.close(ruleset)
    _check(_libc.prctl(_PR_SET_SECCOMP, 2, _seccomp_filter(), 0, 0), "seccomp")


def _seccomp_filter() -> ctypes.Array[ctypes.c_char]:
    """Refuse (EPERM) the calls that reach the network or other processes; a call of another machine type kills."""
    architecture, refused = _CALLS[platform.machine()]
    load, jump_if, result = 0x20, 0x15, 0x06
    program = [(load, 0, 0, 4), (jump_if, 1, 0, architecture), (result, 0, 0, 0x80000000), (load, 0, 0, 0)]
    for place, number in enumerate(refused):
        program.append((jump_if, len(refused) - place, 0, number))
    if architecture == _X86_64:  # the x32 calls: the same numbers with a bit set
        program[4:4] = [(0x35, len(refused) + 1, 0, 0x40000000)]
    program += [(result, 0, 0, 0x7FFF0000), (result, 0, 0, 0x00050001)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *each) for each in program))
    header = ctypes.create_string_buffer(struct.pack("@HxxxxxxP", len(program), ctypes.addressof(code)))
    header.code = code  # type: ignore[attr-defined] # keeps it alive
    return header


def _mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    encoded = [None if text is None else text.encode() for text in (source, target, kind, options)]
    _check(_libc.mount(encoded[0], encoded[1], encoded[2], ctypes.c_ulong(flags), encoded[3]), f"mount {target}")


def _prctl(option: int, value: int) -> None:
    _check(_libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0), "prctl")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


if __name__ == "__main__":
    try:
        main()
    except Exception as error:  # noqa: BLE001 - told to the parent, which cannot see a traceback
        print(f"launch: {error}", file=sys.stderr)
        os._exit(FAILED)
