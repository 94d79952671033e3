/* Programs that guests need and that neither busybox nor every distribution has. A compiler is not
   among what a host needs: they lie beside this file, built by `make guest-programs`, each of its
   function alone (-DPROGRAM=…), and `programs.py` puts the ELF header before. No libc, nothing that
   is written to but the stack. Calls are those that all architectures have. */

typedef long word;

#if defined(__x86_64__)
enum { READ = 0, WRITE = 1, CLOSE = 3, SIGACTION = 13, IOCTL = 16, SOCKET = 41, CLONE = 56,
       EXECVE = 59, EXIT = 60, SETUID = 105, SETGID = 106, SETSID = 112, SETGROUPS = 116,
       REBOOT = 169, CLOCK_SETTIME = 227, OPENAT = 257, DUP3 = 292, PIPE2 = 293, GETRANDOM = 318 };
asm(".section .text.begin\n.globl _start\n_start: mov %rsp, %rdi\nand $-16, %rsp\ncall run\n.text");

static inline word call(word number, word a, word b, word c, word d)
{
    register word fourth asm("r10") = d, fifth asm("r8") = 0;
    asm volatile("syscall" : "+a"(number) : "D"(a), "S"(b), "d"(c), "r"(fourth), "r"(fifth)
                 : "rcx", "r11", "memory");
    return number;
}
#elif defined(__aarch64__)
enum { DUP3 = 24, IOCTL = 29, OPENAT = 56, CLOSE = 57, PIPE2 = 59, READ = 63, WRITE = 64,
       EXIT = 93, CLOCK_SETTIME = 112, SIGACTION = 134, REBOOT = 142, SETGID = 144, SETUID = 146,
       SETSID = 157, SETGROUPS = 159, SOCKET = 198, CLONE = 220, EXECVE = 221, GETRANDOM = 278 };
asm(".section .text.begin\n.globl _start\n_start: mov x0, sp\nb run\n.text");

static inline word call(word number, word a, word b, word c, word d)
{
    register word x8 asm("x8") = number, x0 asm("x0") = a, x1 asm("x1") = b, x2 asm("x2") = c,
        x3 asm("x3") = d, x4 asm("x4") = 0;
    asm volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
    return x0;
}
#endif

/* What stands in for what is known only when a program is needed (see `programs.py`). */
static const volatile unsigned UID = 0x3f444955, GID = 0x3f444947; /* "UID?", "GID?" */
static const volatile struct { unsigned size; char text[60]; } TEXT = { 0x3f4e454c, "" }; /* "LEN?" */

enum { CANNOT = 126 };

static void end(word status)
{
    for (;;)
        call(EXIT, status, 0, 0, 0);
}

/* Become the program that the arguments name (an absolute path). `stack`: as a process begins with
   it: how many arguments, these, 0, the environment, 0. */
static void go_on(word *stack)
{
    call(EXECVE, stack[2], (word)(stack + 2), (word)(stack + stack[0] + 2), 0);
    end(CANNOT);
}

/* setsid(1), without what a dynamically linked program costs under emulation: begin a session, and
   then the program that the arguments name. */
static void session(word *stack)
{
    call(SETSID, 0, 0, 0, 0);
    go_on(stack);
}

/* Heed SIGINT and SIGQUIT, which a shell has ignored by what it runs in the background, become that
   user with that group and no other, and then the program that the arguments name. */
static void enter(word *stack)
{
    volatile word plain[4]; /* struct sigaction: SIG_DFL, no flags, no mask */
    plain[0] = plain[1] = plain[2] = plain[3] = 0;
    call(SIGACTION, 2, (word)plain, 0, 8);
    call(SIGACTION, 3, (word)plain, 0, 8);
    call(SETGROUPS, 0, 0, 0, 0);
    if (call(SETGID, GID, 0, 0, 0) || call(SETUID, UID, 0, 0, 0))
        end(CANNOT);
    go_on(stack);
}

/* The same in a session of its own. */
static void become(word *stack)
{
    call(SETSID, 0, 0, 0, 0);
    enter(stack);
}

/* Copy all that comes out of a pipe to `to`. */
static void copy(const int *ends, int to)
{
    char data[32768];
    call(CLOSE, ends[1], 0, 0, 0);
    call(CLOSE, 3 - to, 0, 0, 0); /* the other one */
    call(CLOSE, 0, 0, 0, 0);
    for (;;) {
        word left = call(READ, ends[0], (word)data, sizeof data, 0), done;
        if (left <= 0)
            end(CANNOT);
        for (char *at = data; left; at += done, left -= done)
            if ((done = call(WRITE, to, (word)at, left, 0)) <= 0)
                end(CANNOT);
    }
}

/* Begin the program that the arguments name with pipes of this user's as stdout and stderr, and have
   what comes out of them copied to our own. A guest's own are a device that opens once, or a socket:
   nobody can open these by /dev/stdout and /dev/stderr. */
static void piped(word *stack)
{
    for (int to = 1; to < 3; to++) {
        int ends[2];
        word child;
        if (call(PIPE2, (word)ends, 0, 0, 0) || (child = call(CLONE, 17 /* SIGCHLD */, 0, 0, 0)) < 0)
            end(CANNOT);
        if (!child)
            copy(ends, to);
        call(DUP3, ends[1], to, 0, 0);
        call(CLOSE, ends[1], 0, 0, 0);
        call(CLOSE, ends[0], 0, 0, 0);
    }
    go_on(stack);
}

/* Have the kernel draw its random numbers anew from all that was written to /dev/urandom
   (RNDRESEEDCRNG of random(4)). 0, or what is wrong. */
static word draw_anew(void)
{
    word file = call(OPENAT, -100 /* AT_FDCWD */, (word)"/dev/urandom", 1 /* O_WRONLY */, 0);
    return call(IOCTL, file, 0x5207, 0, 0);
}

static void reseed(word *stack)
{
    (void)stack;
    end(-draw_anew());
}

/* What a guest that was saved does once it goes on, in one program where three would cost three
   times as much: new random numbers, the time (its argument, in seconds since 1970), and another
   address for eth0 if there is one. It exits with 1 where that fails. */
static void awaken(word *stack)
{
    word failed = draw_anew(), time[2], found;
    struct { char name[16]; unsigned short kind; unsigned char address[22]; } card; /* ifreq */
    time[0] = time[1] = 0;
    for (const char *digit = (const char *)stack[2]; *digit >= '0'; digit++)
        time[0] = time[0] * 10 + *digit - '0';
    failed |= call(CLOCK_SETTIME, 0 /* CLOCK_REALTIME */, (word)time, 0, 0);
    for (volatile char *at = (char *)&card; at < (char *)(&card + 1); at++)
        *at = 0;
    card.name[0] = 'e', card.name[1] = 't', card.name[2] = 'h', card.name[3] = '0';
    card.kind = 1; /* ARPHRD_ETHER */
    card.address[0] = 0x52, card.address[1] = 0x54;
    call(GETRANDOM, (word)(card.address + 3), 3, 0, 0);
    found = call(SOCKET, 2 /* AF_INET */, 2 /* SOCK_DGRAM */, 0, 0);
    found = call(IOCTL, found, 0x8924 /* SIOCSIFHWADDR */, (word)&card, 0);
    if (found != -19 /* ENODEV */)
        failed |= found;
    end(failed != 0);
}

/* Write the text on stdout, and switch the machine off (reboot(2)). */
static void say_and_power_off(word *stack)
{
    (void)stack;
    call(WRITE, 1, (word)TEXT.text, TEXT.size, 0);
    for (;;)
        call(REBOOT, 0xfee1dead, 672274793, 0x4321fedc, 0);
}

__attribute__((used)) void run(word *stack)
{
    PROGRAM(stack);
}
