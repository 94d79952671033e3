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


def awaken() -> bytes:
    """What a guest that was saved does once it goes on, in one program where three would cost
    three times as much: new random numbers (as `reseed`), the time (its argument, in seconds since
    1970), and another address for eth0 if there is one. It exits with 1 where that fails."""
    code = bytes.fromhex(
        "b802000000"  # mov eax, 2         open
        "488d3da4000000"  # lea rdi, [rip+164]
        "be010000000f0589c7"  # mov esi, 1; syscall; mov edi, eax       O_WRONLY
        "b810000000be0752000031d20f05"  # mov eax, 16; mov esi, 0x5207; xor edx, edx; syscall
        "4189c4"  # mov r12d, eax      what failed
        "488b74241031db"  # mov rsi, [rsp+16]; xor ebx, ebx
        "0fb60683e830780c"  # next: movzx eax, byte [rsi]; sub eax, '0'; js done
        "486bdb0a4801c348ffc6ebec"  # imul rbx, 10; add rbx, rax; inc rsi; jmp next
        "6a0053"  # done: push 0; push rbx                               struct timespec
        "b8e300000031ff4889e60f05"  # mov eax, 227; xor edi, edi; mov rsi, rsp    clock_settime
        "4109c4"  # or r12d, eax
        "6a006a006801005254"  # push 0; push 0; push 0x54520001   ARPHRD_ETHER, 52:54:00:…
        "b83e010000488d7c2405"  # mov eax, 318; lea rdi, [rsp+5]             getrandom
        "be0300000031d20f05"  # mov esi, 3; xor edx, edx; syscall
        "6a006865746830"  # push 0; push 'eth0'                       struct ifreq
        "b829000000bf02000000be020000000f0589c7"  # socket(AF_INET, SOCK_DGRAM, 0); mov edi, eax
        "b810000000be248900004889e20f05"  # ioctl(edi, SIOCSIFHWADDR, rsp)
        "83f8ed74034109c4"  # cmp eax, -ENODEV; je +3; or r12d, eax
        "31ff4585e4400f95c7"  # xor edi, edi; test r12d, r12d; setne dil
        "b83c0000000f05"  # mov eax, 60; syscall                    exit
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


def piped() -> bytes:
    """It begins the program that its arguments name (an absolute path) with pipes of this user's
    as stdout and stderr, and has what comes out of them copied to its own. A guest's own are a
    device that opens once, or a socket: nobody can open these by /dev/stdout and /dev/stderr. It
    exits with 126 where that fails."""
    code = bytes.fromhex(
        "bb01000000"  # mov ebx, 1           the first of the two
        "6a00b8160000004889e70f05"  # again: push 0; mov eax, 22; mov rdi, rsp; syscall   pipe
        "85c00f85a0000000"  # test eax, eax; jnz end
        "b8390000000f05"  # mov eax, 57; syscall                     fork
        "85c00f8891000000742c"  # test eax, eax; js end; jz copier
        "b8210000008b7c240489de0f05"  # dup2([rsp+4], ebx)
        "b8030000008b7c24040f05"  # close([rsp+4])
        "b8030000008b3c240f05"  # close([rsp])
        "58ffc383fb0375b1eb6f"  # pop rax; inc ebx; cmp ebx, 3; jne again; jmp behind all this
        "b8030000008b7c24040f05"  # copier: close([rsp+4])
        "b803000000bf0300000029df0f05"  # mov eax, 3; mov edi, 3; sub edi, ebx; syscall   the other
        "b80300000031ff0f05"  # close(0)
        "448b24244881ec00800000"  # mov r12d, [rsp]; sub rsp, 32768
        "31c04489e74889e6ba008000000f05"  # next: read(r12d, rsp, 32768)
        "4189c54989e685c07e1d"  # mov r13d, eax; mov r14, rsp; test eax, eax; jle end
        "b80100000089df4c89f64489ea0f05"  # more: write(ebx, r14, r13d)
        "85c07e0a4901c64129c575e5ebca"  # jle end; add r14, rax; sub r13d, eax; jnz more; jmp next
        "bf7e000000b83c0000000f05"  # end: mov edi, 126; mov eax, 60; syscall   exit
    )
    return _elf(code + _GO_ON)


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
