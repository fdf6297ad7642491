"""The system calls that a runner, or whoever took it over from inside a guest, has no use for.

A list of denials, not of permissions: Python, the C library and the runtime are free to change what harmless calls they
make, and the file system is already empty, but nothing here can be reached. Denied calls fail with EPERM; new processes
are denied and new threads are not.
"""

from __future__ import annotations

import struct

from wasmgrid.runner.linux import MACHINE

# name: (x86_64, aarch64); None where the machine has no such call. From the kernel's unistd headers.
_DENIED: dict[str, tuple[int | None, int | None]] = {
    # other programs and processes
    "execve": (59, 221), "execveat": (322, 281), "fork": (57, None), "vfork": (58, None), "ptrace": (101, 117),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "process_madvise": (440, 440),
    "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424), "kcmp": (312, 272),
    "kill": (62, 129), "tkill": (200, 130), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    # the file system's shape, and files by other means than paths
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "open_tree": (428, 428),
    "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432),
    "fspick": (433, 433), "mount_setattr": (442, 442), "swapon": (167, 224), "swapoff": (168, 225),
    "quotactl": (179, 60), "quotactl_fd": (443, 443), "mknod": (133, None), "mknodat": (259, 33),
    "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264), "fanotify_init": (300, 262),
    # namespaces and identities
    "unshare": (272, 97), "setns": (308, 268), "setuid": (105, 146), "setgid": (106, 144), "setreuid": (113, 145),
    "setregid": (114, 143), "setresuid": (117, 147), "setresgid": (119, 149), "setgroups": (116, 159),
    "setfsuid": (122, 151), "setfsgid": (123, 152), "capset": (126, 91), "personality": (135, 92),
    "chown": (92, None), "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54),
    # the network; what was opened before (the sockets to the agent) stays usable
    "socket": (41, 198), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201), "accept": (43, 202),
    "accept4": (288, 242),
    # wide kernel surface that nothing here needs
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "keyctl": (250, 219),
    "add_key": (248, 217), "request_key": (249, 218), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427), "io_setup": (206, 0), "modify_ldt": (154, None), "lookup_dcookie": (212, 18),
    "move_pages": (279, 239), "migrate_pages": (256, 238), "memfd_secret": (447, 447), "shmget": (29, 194),
    "shmat": (30, 196), "semget": (64, 190), "msgget": (68, 186), "mq_open": (240, 180), "ioperm": (173, None),
    "iopl": (172, None), "vhangup": (153, 58), "syslog": (103, 116), "acct": (163, 89), "reboot": (169, 142),
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104),
    "kexec_file_load": (320, 294), "settimeofday": (164, 170), "clock_settime": (227, 112),
    "clock_adjtime": (305, 266), "adjtimex": (159, 171), "sethostname": (170, 161), "setdomainname": (171, 162),
}  # fmt: skip

_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column above, AUDIT_ARCH
_CLONE, _CLONE3, _TGKILL = (56, 220), 435, (234, 131)
_CLONE_THREAD = 0x00010000
_X32_BIT = 0x40000000  # x86_64's second set of numbers

_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _ARCH_AT, _FIRST_ARGUMENT_AT = 0, 4, 16  # in struct seccomp_data (little-endian)
_ALLOW, _KILL, _FAIL = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS = 1, 38


def supported() -> bool:
    """Whether this machine's system call numbers are known here."""
    return MACHINE in _MACHINES


def program(pid: int) -> bytes:
    """The BPF program for this machine and the process `pid` (which may abort itself), 8 bytes an instruction."""
    column, arch = _MACHINES[MACHINE]
    code = [_op(_LOAD, _ARCH_AT), _op(_JUMP_EQUAL, arch, 1, 0), _op(_RETURN, _KILL), _op(_LOAD, _NUMBER_AT)]
    if column == 0:
        code += [_op(_JUMP_AT_LEAST, _X32_BIT, 0, 1), _op(_RETURN, _KILL)]
    # Its flags are behind a pointer that BPF cannot follow: without it the C library takes clone, whose flags show.
    code += [_op(_JUMP_EQUAL, _CLONE3, 0, 1), _op(_RETURN, _FAIL | _ENOSYS)]
    for numbers in _DENIED.values():
        number = numbers[column]
        if number is not None:
            code += [_op(_JUMP_EQUAL, number, 0, 1), _op(_RETURN, _FAIL | _EPERM)]
    code += [
        _op(_JUMP_EQUAL, _TGKILL[column], 0, 4),
        _op(_LOAD, _FIRST_ARGUMENT_AT),
        _op(_JUMP_EQUAL, pid, 1, 0),
        _op(_RETURN, _FAIL | _EPERM),
        _op(_RETURN, _ALLOW),
        _op(_JUMP_EQUAL, _CLONE[column], 0, 3),
        _op(_LOAD, _FIRST_ARGUMENT_AT),
        _op(_JUMP_BITS, _CLONE_THREAD, 1, 0),
        _op(_RETURN, _FAIL | _EPERM),
        _op(_RETURN, _ALLOW),
    ]
    return b"".join(code)


def _op(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, value)
