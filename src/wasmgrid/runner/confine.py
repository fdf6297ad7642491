"""A runner gives up everything that it was born with, after its imports and before its first thread.

What is left: two sockets to the agent, the clock, and a file system of a few directories. The order matters: namespaces
need one thread and privileges, the death signal is lost with a change of user, and seccomp comes last because it denies
what the rest needs. Each step that a machine refuses is told in `Confinement.missing`, so that `doctor` can say it.
"""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

from wasmgrid.runner.frames import INPUTS, IO, MODULES, SCRATCH, Confinement, Setup

if sys.platform == "linux":
    import signal

    from wasmgrid.runner import linux, seccomp

OPEN_FILES = 1024  # a guest that opens more gets an error, and only it
STACK_BYTES = 32 << 20  # the guest's 8 MiB run on the main thread's stack, with the host's frames below
INODES_PER_MB = 64
_ROOT = "root"  # where the new / is put together, inside the box


def confine(setup: Setup) -> Confinement:
    """Confine this process to its box, which becomes its working directory; says what it got.

    Raises OSError where not even the box can be entered, or where root cannot be given up.
    """
    os.umask(0o077)
    _limit()
    if sys.platform != "linux":
        os.chdir(setup.box)
        missing = [f"namespaces, seccomp and a sized scratch: not on {sys.platform}"]
        return Confinement(platform=sys.platform, unprivileged=os.geteuid() != 0, missing=missing)
    return _confine_linux(setup)


def _limit() -> None:
    for kind, value in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_NOFILE, OPEN_FILES)):
        hard = resource.getrlimit(kind)[1]
        most = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (most, most))
    if sys.platform == "linux":  # elsewhere guests get a thread with a stack of its own
        hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
        resource.setrlimit(resource.RLIMIT_STACK, (STACK_BYTES if hard == -1 else min(STACK_BYTES, hard), hard))


def _confine_linux(setup: Setup) -> Confinement:
    missing: list[str] = []
    namespaces = _unshare(missing)
    root, sized = _narrow(setup, bool(namespaces), missing)
    if os.geteuid() == 0 and setup.user is not None:
        os.setgroups([])
        os.setresgid(setup.user, setup.user, setup.user)
        os.setresuid(setup.user, setup.user, setup.user)
    if os.geteuid() == 0:
        missing.append("an unprivileged user: this user namespace has none")
    linux.drop_capabilities()
    linux.prctl(linux.PR_SET_DUMPABLE, 0)
    linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
    # In the box, or before a new user namespace, the parent is still the one that started us.
    if os.getppid() != setup.parent_pid:
        os._exit(113)
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    if root == "none":
        root = _close_files(missing)
    return Confinement(
        platform="linux",
        namespaces=namespaces,
        root=root,
        sized_scratch=sized,
        unprivileged=os.geteuid() != 0,
        no_new_privs=True,
        seccomp=_filter(missing),
        missing=missing,
    )


def _unshare(missing: list[str]) -> list[str]:
    flags = linux.CLONE_NEWNS | linux.CLONE_NEWNET | linux.CLONE_NEWIPC | linux.CLONE_NEWUTS
    names = ["mount", "net", "ipc", "uts"]
    uid, gid = os.geteuid(), os.getegid()
    try:
        if uid == 0:
            linux.unshare(flags)
            return names
        linux.unshare(flags | linux.CLONE_NEWUSER)
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            Path("/proc/self", name).write_text(text)
    except OSError as error:
        missing.append(f"namespaces: {error.strerror or error}")
        return []
    return ["user", *names]


def _narrow(setup: Setup, mounts: bool, missing: list[str]) -> tuple[str, bool]:
    """Make the box all there is of the file system; answers how, and whether the scratch has a size of its own."""
    if mounts:
        try:
            _pivot(setup)
        except OSError as error:
            missing.append(f"a root of its own: {error.strerror or error}")
        else:
            return "pivot_root", True
    os.chdir(setup.box)
    missing.append("a sized scratch: it is watched instead")
    if os.geteuid() == 0:
        try:
            os.chroot(".")
        except OSError as error:
            missing.append(f"chroot: {error.strerror or error}")
        else:
            return "chroot", False
    return "none", False


def _close_files(missing: list[str]) -> str:
    """Where no other / could be had: close the files of this one to us."""
    try:
        linux.landlock([MODULES, INPUTS], [IO, SCRATCH])
    except OSError as error:
        missing.append(f"landlock: {error.strerror or error}; this user's files are open to who breaks out of a guest")
        return "none"
    return "landlock"


def _pivot(setup: Setup) -> None:
    top = f"{setup.box}/{_ROOT}"
    quiet = linux.MS_NOSUID | linux.MS_NODEV
    owner = "" if setup.user is None else f",uid={setup.user},gid={setup.user}"
    linux.mount("none", "/", flags=linux.MS_REC | linux.MS_PRIVATE)
    linux.mount("root", top, "tmpfs", quiet | linux.MS_NOEXEC, "size=64k,nr_inodes=32,mode=0755")
    for name in (MODULES, INPUTS, IO, SCRATCH):
        os.mkdir(f"{top}/{name}", 0o755)
    # Machine code is mapped out of modules/, so that one alone is not noexec.
    linux.bind(f"{setup.box}/{MODULES}", f"{top}/{MODULES}", quiet | linux.MS_RDONLY)
    linux.bind(f"{setup.box}/{INPUTS}", f"{top}/{INPUTS}", quiet | linux.MS_NOEXEC | linux.MS_RDONLY)
    linux.bind(f"{setup.box}/{IO}", f"{top}/{IO}", quiet | linux.MS_NOEXEC)
    size = f"size={setup.disk_mb}m,nr_inodes={INODES_PER_MB * setup.disk_mb + 1024},mode=0700{owner}"
    linux.mount("scratch", f"{top}/{SCRATCH}", "tmpfs", quiet | linux.MS_NOEXEC, size)
    linux.pivot_root(top)
    linux.mount("none", "/", flags=linux.MS_REMOUNT | linux.MS_BIND | linux.MS_RDONLY | quiet | linux.MS_NOEXEC)


def _filter(missing: list[str]) -> bool:
    if not seccomp.supported():
        missing.append(f"seccomp: system call numbers of {linux.MACHINE} are not known here")
        return False
    try:
        linux.install_seccomp(seccomp.program(os.getpid()))
    except OSError as error:
        missing.append(f"seccomp: {error.strerror or error}")
        return False
    return True
