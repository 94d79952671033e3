"""Programs that guests need and that neither busybox nor every distribution has, as
ELF files for x86-64 that are assembled by hand: a compiler is not among what a host needs."""

from __future__ import annotations

import platform
import struct

from distromatrix.errors import EngineUnavailableError

_BASE = 0x400000
_HEADERS = 64 + 56  # ELF's own and one program header (elf(5))


def reseed() -> bytes:
    """It has the kernel draw its random numbers anew from all that was written to
    /dev/urandom (RNDRESEEDCRNG of random(4)), and exits with 0."""
    code = bytes.fromhex(
        "b802000000"  # mov eax, 2         open
        "488d3d22000000"  # lea rdi, [rip+34]
        "be01000000"  # mov esi, 1         O_WRONLY
        "0f05"  # syscall
        "89c7"  # mov edi, eax
        "b810000000"  # mov eax, 16        ioctl
        "be07520000"  # mov esi, 0x5207    RNDRESEEDCRNG
        "31d2"  # xor edx, edx
        "0f05"  # syscall
        "89c7"  # mov edi, eax
        "f7df"  # neg edi
        "b83c000000"  # mov eax, 60        exit
        "0f05"  # syscall
    )
    return _elf(code + b"/dev/urandom\0")


# mov rcx, [rsp]; lea rdx, [rsp+rcx*8+16]; mov rdi, [rsp+16]; lea rsi, [rsp+16]; execve; exit(126)
_GO_ON = bytes.fromhex(
    "488b0c24488d54cc10488b7c2410488d742410b83b0000000f05bf7e000000b83c0000000f05"
)


def session() -> bytes:
    """setsid(1), without what a dynamically linked program costs under emulation: it begins a
    session, and then the program that its arguments name (an absolute path)."""
    return _elf(bytes.fromhex("b8700000000f05") + _GO_ON)


def become(uid: int, gid: int, *, alone: bool = True) -> bytes:
    """It begins a session (`alone`), heeds SIGINT and SIGQUIT, which a shell has ignored by what
    it runs in the background, becomes that user with that group and no other, and then the
    program that its arguments name (an absolute path); it exits with 126 where it may not."""
    begin = "b8700000000f05"  # mov eax, 112; syscall    setsid
    code = (
        bytes.fromhex(
            begin * alone
            + "31c050505050"  # xor eax, eax; push rax, 4 times   SIG_DFL, no flags, no mask
            + "bf02000000"  # mov edi, 2          SIGINT
            + "4889e631d241ba08000000"  # mov rsi, rsp; xor edx, edx; mov r10d, 8
            + "b80d0000000f05"  # mov eax, 13; syscall     rt_sigaction
            + "bf03000000"  # mov edi, 3          SIGQUIT
            + "b80d0000000f05"  # mov eax, 13; syscall     rt_sigaction
            + "4883c420"  # add rsp, 32
            + "b87400000031ff31f60f05"  # mov eax, 116; xor edi, edi; xor esi, esi   setgroups
            + "b86a000000bf"  # mov eax, 106         setgid
        )
        + struct.pack("<I", gid)  # mov edi, gid
        + bytes.fromhex("0f0585c0752a")  # syscall; test eax, eax; jnz +42
        + bytes.fromhex("b869000000bf")  # mov eax, 105         setuid
        + struct.pack("<I", uid)  # mov edi, uid
        + bytes.fromhex("0f0585c0751a")  # syscall; test eax, eax; jnz +26
        + _GO_ON
    )
    return _elf(code)


def say_and_power_off(text: bytes) -> bytes:
    """It writes the text on its stdout and switches the machine off (reboot(2))."""
    code = b"\xb8\x01\0\0\0\xbf\x01\0\0\0"  # mov eax, 1 (write); mov edi, 1
    code += b"\xbe%s\xba" + struct.pack("<I", len(text)) + b"\x0f\x05"  # esi, edx; syscall
    # mov eax, 169 (reboot); edi, esi: the magic numbers of reboot(2); edx: RB_POWER_OFF
    for register, value in zip(
        b"\xb8\xbf\xbe\xba", (169, 0xFEE1DEAD, 672274793, 0x4321FEDC), strict=True
    ):
        code += bytes([register]) + struct.pack("<I", value)
    code += b"\x0f\x05\xeb\xfe"  # syscall; jmp to itself
    place = _BASE + _HEADERS + len(code) + 2  # behind the code, whose `%s` becomes four bytes
    return _elf(code.replace(b"%s", struct.pack("<I", place)) + text)


def _elf(code: bytes) -> bytes:
    if platform.machine() != "x86_64":
        raise EngineUnavailableError(f"direct guests run on x86_64 only, not {platform.machine()}")
    size = _HEADERS + len(code)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        *(b"\x7fELF\x02\x01\x01", 2, 62, 1, _BASE + _HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0),
    )
    program = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x1000)
    return header + program + code
