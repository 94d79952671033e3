"""What a product's build files say that it builds with: libraries, headers, programs, each as a
package that is named by what it holds (`pkgconfig(zlib)?`).

None of it is taken for certain: what is asked for may be behind a switch, so that all of it is
optional. One too many costs a small package.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from distromatrix.init.folder import ScannedFolder
from distromatrix.plan.held import held_in

ABOUT = (
    "`packages` has what its build files ask for, by what the package holds, and where the distro "
    "has such a one (`?`). What else it builds with belongs there, too."
)
MOST = 40
# Of the C library and the compiler, or of other systems.
# fmt: off
_EVERYWHERE = (
    "asan", "atomic", "c", "c++", "crypt", "dl", "gcc", "gcc_s", "gnugetopt", "iconv", "intl",
    "m", "nsl", "openmp", "posix", "posix4", "pthread", "pthreads", "resolv", "rt", "sendfile",
    "socket", "stdc++", "stdc++fs", "threads", "util", "ws2_32", "advapi32", "bcrypt",
    "iphlpapi", "kernel32", "psapi", "shell32", "shlwapi", "user32", "w", "winmm", "xnet",
)
# fmt: on
_SYSTEM = re.compile(
    r"(sys|net|netinet|arpa|linux|asm|mach|machine|rpc|bits|bsd|CoreFoundation)/.*|(aio|alloca|"
    r"argz|assert|byteswap|complex|cpuid|crt_externs|ctype|dirent|dlfcn|elf|endian|err|errno|"
    r"error|execinfo|fcntl|features|fenv|float|fnmatch|fts|ftw|getopt|glob|grp|iconv|ieee754|"
    r"ifaddrs|immintrin|inttypes|io|langinfo|libgen|libintl|limits|link|locale|malloc|math|memory|"
    r"mntent|monetary|netdb|nl_types|paths|poll|pthread|pwd|regex|resolv|sched|search|semaphore|"
    r"setjmp|shadow|shlwapi|signal|spawn|std\w+|string|strings|stropts|syslog|term|termio|termios|"
    r"time|uchar|ucontext|ulimit|unistd|utime|utmp|utmpx|values|wait|wchar|wctype|win\w*|wordexp|"
    r"ws2tcpip|xlocale|xmmintrin)\.h"
)
# What is found by another name: CMake's own modules, libraries, headers.
_KNOWN = {
    "cmake": {
        "bison": "bison",
        "bzip2": "header(bzlib.h)",
        "curl": "pkgconfig(libcurl)",
        "curses": "pkgconfig(ncurses)",
        "doxygen": "command(doxygen)",
        "expat": "pkgconfig(expat)",
        "flex": "flex",
        "freetype": "pkgconfig(freetype2)",
        "git": "git",
        "glib2": "pkgconfig(glib-2.0)",
        "gtest": "pkgconfig(gtest)",
        "icu": "pkgconfig(icu-uc)",
        "jpeg": "pkgconfig(libjpeg)",
        "libarchive": "pkgconfig(libarchive)",
        "liblzma": "pkgconfig(liblzma)",
        "libxml2": "pkgconfig(libxml-2.0)",
        "libxslt": "pkgconfig(libxslt)",
        "lua": "pkgconfig(lua)",
        "opengl": "pkgconfig(gl)",
        "openssl": "pkgconfig(openssl)",
        "perl": "perl",
        "png": "pkgconfig(libpng)",
        "protobuf": "pkgconfig(protobuf)",
        "python": "python",
        "python3": "python",
        "pythoninterp": "python",
        "sqlite3": "pkgconfig(sqlite3)",
        "tiff": "pkgconfig(libtiff-4)",
        "x11": "pkgconfig(x11)",
        "zlib": "pkgconfig(zlib)",
        "boost": "header(boost/version.hpp)",
        **dict.fromkeys(("threads", "pkgconfig", "openmp", "intl", "iconv", "backtrace"), ""),
    },
    "lib": {
        "bz2": "header(bzlib.h)",
        "crypto": "pkgconfig(openssl)",
        "curl": "pkgconfig(libcurl)",
        "curses": "pkgconfig(ncurses)",
        "expat": "pkgconfig(expat)",
        "ffi": "pkgconfig(libffi)",
        "lzma": "pkgconfig(liblzma)",
        "ncurses": "pkgconfig(ncurses)",
        "png": "pkgconfig(libpng)",
        "ssl": "pkgconfig(openssl)",
        "tinfo": "pkgconfig(ncurses)",
        "xml2": "pkgconfig(libxml-2.0)",
        "yaml": "pkgconfig(yaml-0.1)",
        "z": "pkgconfig(zlib)",
        "zstd": "pkgconfig(libzstd)",
        **dict.fromkeys(_EVERYWHERE, ""),
    },
    "pkgconfig": dict.fromkeys((*_EVERYWHERE, "appleframeworks", "python", "python3"), ""),
    "command": {
        "dot": "graphviz",
        **dict.fromkeys(("python", "python3", "sh", "bash", "env", "true", "test"), ""),
    },
    "header": {},
}

# What is not asked for, as the product has a file of that name: it makes it, is it, or says how it
# is found.
_OWN = {
    "cmake": ("find{}.cmake", "{}-config.cmake.in", "{}config.cmake.in"),
    "pkgconfig": ("{}.pc.in", "{}.pc", "{}-uninstalled.pc.in"),
    "command": ("{}", "{}.in"),
    "header": ("{}",),
    "lib": (),
}

_PKG_CHECK = re.compile(r"\bPKG_CHECK_MODULES(?:_STATIC)?\s*+\([^,)]{1,100}+,([^,)]{1,1000})")
_AC_LIB = re.compile(r"\bAC_CHECK_LIB\s*+\(([^,)]{1,100})")
_AC_LIBS = re.compile(r"\bAC_SEARCH_LIBS\s*+\([^,)]{1,100}+,([^,)]{1,300})")
_AC_HEADER = re.compile(r"\bAC_CHECK_HEADER\s*+\(([^,)]{1,100})")
_AC_PROGRAM = re.compile(r"\bA[CM]_PROG_(YACC|LEX|FLEX|BISON)\b")
_FIND_PACKAGE = re.compile(r"\bfind_package\s*+\(([^)]{1,500})", re.IGNORECASE)
_PKG_MODULES = re.compile(r"\bpkg_(?:check_modules|search_module)\s*+\(([^)]{1,1000})", re.I)
_FIND_FILE = re.compile(r"\bfind_(library|path)\s*+\(([^)]{1,500})", re.IGNORECASE)
_OPTIONS = {"REQUIRED", "QUIET", "IMPORTED_TARGET", "GLOBAL", "NO_CMAKE_PATH", "STATIC", "NAMES"}
_MESON = re.compile(
    r"\b(dependency|find_library|find_program)\s*+\(\s*+'([^'\n]{1,100})'([^)]{0,1000})"
)
_LINKED = re.compile(r"(?<![\w-])-l([A-Za-z][\w+.-]{0,60})(?![\w/])")
_ASKED = re.compile(r"\bpkg-config\b([^`\n)]{1,200})")
_EXTENSION = re.compile(r"\blibraries\s*+=\s*+\[([^\]]{0,500})")
_QUOTED = re.compile(r"""["']([^"'\n]{1,100})["']""")
_COMPARED = re.compile(r"[<>=!]")


def built_with(folder: ScannedFolder, *names: str) -> tuple[str, ...]:
    """The packages for what these files ask for, wherever they lie, sorted: at most MOST.
    `names`: of files, or globs of them."""
    found: set[str] = set()
    own = {p.rpartition("/")[2].lower() for p in folder.files}
    for path in folder.named(*names):
        reader = _reader(path.rpartition("/")[2])
        for kind, what in reader(folder.head(path)):
            if not own & {mine.format(what).lower() for mine in _OWN[kind]}:
                found.add(_package(kind, what))
    packages = sorted(found - {""})[:MOST]
    if any(package.startswith("pkgconfig(") for package in packages):
        packages.append("pkg-config")
    return tuple(packages)


def more(packages: Iterable[str], found: Iterable[str]) -> tuple[str, ...]:
    """Both, each once."""
    return tuple(dict.fromkeys((*packages, *found)))


def _package(kind: str, name: str) -> str:
    """The package for that, '' where none is wanted."""
    key = name.lower() if kind == "cmake" else name
    package = _KNOWN[kind].get(key)
    if package is None:
        package = f"{kind}({name})" if not (kind == "header" and _SYSTEM.fullmatch(name)) else ""
    if "(" not in package:
        return package
    return f"{package}?" if held_in(package) else ""


Needs = Iterator[tuple[str, str]]


def _reader(name: str) -> Callable[[str], Needs]:
    if name.startswith("configure"):
        return _autoconf
    if name == "meson.build":
        return _meson
    if name == "CMakeLists.txt" or name.endswith(".cmake"):
        return _cmake
    return _setup if name.endswith(".py") else _make


def _autoconf(text: str) -> Needs:
    text = re.sub(r"(?m)(?:\bdnl\b|^[ \t]*+#).*", "", text)
    for said in _PKG_CHECK.findall(text):
        yield from _modules(re.split(r"[\s\[\]\"']+", said))
    for said in (*_AC_LIB.findall(text), *_AC_LIBS.findall(text)):
        yield from (("lib", word) for word in re.split(r"[\s\[\]\"']+", said) if word)
    for said in _AC_HEADER.findall(text):
        yield "header", said.strip("[]\"' \t\n")
    for program in _AC_PROGRAM.findall(text):
        yield "cmake", "bison" if program in ("YACC", "BISON") else "flex"


def _cmake(text: str) -> Needs:
    text = re.sub(r"(?m)#.*", "", text)
    for said in _FIND_PACKAGE.findall(text):
        words = said.split()
        if words and (words[0].lower() != "doxygen" or "REQUIRED" in words):
            yield "cmake", words[0]
            if words[0].lower() == "doxygen" and "dot" in words:
                yield "command", "dot"
    for said in _PKG_MODULES.findall(text):
        yield from _modules(word for word in said.split()[1:] if word not in _OPTIONS)
    for how, said in _FIND_FILE.findall(text):
        words = [word.strip('"') for word in said.split()[1:] if word not in _OPTIONS]
        if words and not (how.lower() == "path" and "." not in words[0]):
            yield ("lib" if how.lower() == "library" else "header"), words[0]


def _meson(text: str) -> Needs:
    text = re.sub(r"(?m)^[ \t]*+#.*", "", text)
    for how, name, rest in _MESON.findall(text):
        if how == "dependency":
            yield "pkgconfig", name
        elif how == "find_library":
            yield "lib", name
        elif "required" not in rest and re.fullmatch(r"[a-z][a-z0-9-]*", name):
            yield "command", name


def _make(text: str) -> Needs:
    text = re.sub(r"(?m)^[ \t]*+#.*", "", text)
    for name in _LINKED.findall(text):
        yield "lib", name
    for said in _ASKED.findall(text):
        yield from _modules(word.strip("\"'") for word in said.split() if word[0] not in "-$")


def _setup(text: str) -> Needs:
    for said in _EXTENSION.findall(text):
        yield from (("lib", name) for name in _QUOTED.findall(said))


def _modules(words: Iterable[str]) -> Needs:
    """pkg-config's modules in a list of them: `glib-2.0 >= 2.30 zlib`, `zlib>=1.2`."""
    version = False
    for word in words:
        name, *compared = _COMPARED.split(word, maxsplit=1)
        if name and not version:
            yield "pkgconfig", name
        version = bool(compared) and word[-1] in "<>="
