"""The few Linux calls that Python's standard library does not have, through the C library.

Numbers are from the kernel's uapi headers; they differ per machine only where `_CALLS` says so.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 32, 4096, 16384, 1 << 18
MNT_DETACH = 2

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 24, 38
SECCOMP_MODE_FILTER = 2
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446  # the same on every machine
_LANDLOCK_READ = 1 << 2 | 1 << 3  # files, directories
_LANDLOCK_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}  # how many kinds of access each version knows; 16 from the fifth on
_CAPABILITY_VERSION_3 = 0x20080522

MACHINE = platform.machine()
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}.get(MACHINE)

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p]
_libc.umount2.argtypes = [ctypes.c_char_p, ctypes.c_int]
_libc.unshare.argtypes = [ctypes.c_int]
_libc.prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """Leave the namespaces in `flags` for new ones; raises OSError where the machine does not allow it."""
    _check(_libc.unshare(flags), "unshare")


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2); raises OSError."""
    _check(
        _libc.mount(source.encode(), target.encode(), kind.encode() or None, flags, options.encode() or None),
        f"mount {target}",
    )


def bind(source: str, target: str, flags: int) -> None:
    """Show the directory `source` at `target` under `flags` (a bind takes them only when it is remounted)."""
    mount(source, target, flags=MS_BIND)
    mount("none", target, flags=MS_REMOUNT | MS_BIND | flags | _locked(target))


def _locked(target: str) -> int:
    # A mount from outside a user namespace keeps its restrictions: leaving one out of a remount is refused.
    kept = {
        os.ST_NOSUID: MS_NOSUID,
        os.ST_RDONLY: MS_RDONLY,
        4: MS_NODEV,
        8: MS_NOEXEC,
        1024: 1024,
        2048: 2048,
        4096: 1 << 21,
    }
    present = os.statvfs(target).f_flag
    return sum(flag for bit, flag in kept.items() if present & bit)


def pivot_root(new_root: str) -> None:
    """Make the mount at `new_root` this process's /, and detach all else; raises OSError."""
    if _PIVOT_ROOT is None:
        raise OSError(38, f"pivot_root: its number on {MACHINE} is not known here")
    os.chdir(new_root)
    _check(_libc.syscall(ctypes.c_long(_PIVOT_ROOT), b".", b"."), "pivot_root")
    _check(_libc.umount2(b".", MNT_DETACH), "umount2")
    os.chdir("/")


def prctl(option: int, argument: int = 0, more: int = 0) -> None:
    """prctl(2); raises OSError."""
    _check(_libc.prctl(option, argument, more, 0, 0), f"prctl {option}")


def drop_capabilities() -> None:
    """Give up every capability, now and for whatever would be executed later."""
    for capability in range(64):
        if _libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            break  # past the last one, or not allowed: then there is none to give up either
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    _check(_libc.capset(ctypes.byref(header), ctypes.byref((ctypes.c_uint32 * 6)())), "capset")


def landlock(readable: list[str], writable: list[str]) -> None:
    """Close every file that is not below these directories; needs no_new_privs. Raises OSError."""
    version = _libc.syscall(ctypes.c_long(_LANDLOCK_CREATE), None, ctypes.c_size_t(0), 1)
    _check(min(version, 0), "landlock")
    every = (1 << _LANDLOCK_RIGHTS.get(version, 16)) - 1
    ruleset = _libc.syscall(ctypes.c_long(_LANDLOCK_CREATE), struct.pack("=Q", every), ctypes.c_size_t(8), 0)
    _check(min(ruleset, 0), "landlock")
    for paths, rights in ((readable, _LANDLOCK_READ), (writable, every)):
        for path in paths:
            directory = os.open(path, os.O_PATH | os.O_DIRECTORY)
            rule = struct.pack("=Qi", rights, directory)
            _check(_libc.syscall(ctypes.c_long(_LANDLOCK_ADD), ruleset, 1, rule, 0), f"landlock {path}")
            os.close(directory)
    _check(_libc.syscall(ctypes.c_long(_LANDLOCK_RESTRICT), ruleset, 0), "landlock")
    os.close(ruleset)


_IN_CHANGES = 0x4 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x800  # attributes, moves, creations, removals
_IN_FLAGS = 0x800 | 0x80000  # non-blocking, closed on exec


def inotify() -> int:
    """A descriptor from which changes in directories are read; raises OSError."""
    descriptor: int = _libc.inotify_init1(_IN_FLAGS)
    _check(min(descriptor, 0), "inotify_init1")
    return descriptor


def watch_directory(descriptor: int, path: str) -> None:
    """From now on `descriptor` of `inotify` tells of every entry that comes or goes in `path`. Raises OSError."""
    _check(min(_libc.inotify_add_watch(descriptor, path.encode(), _IN_CHANGES), 0), f"inotify_add_watch {path}")


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def install_seccomp(program: bytes) -> None:
    """Install a BPF program of 8-byte instructions on this thread and those it starts; needs no_new_privs."""
    code = ctypes.create_string_buffer(program, len(program))
    argument = _Program(len(program) // 8, ctypes.addressof(code))
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(argument))
