"""Builds the programs that guests need, of `inside/programs/programs.c`: `make guest-programs`."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import distromatrix.engines.guest

FOLDER = Path(distromatrix.engines.guest.__file__).parent / "inside/programs"
NAMES = ("session", "piped", "reseed", "awaken", "enter", "become", "say_and_power_off")
ARCHITECTURES = ("x86_64", "aarch64")
BUILT_BY = FOLDER / "built-by"  # another compiler makes other code of the same source
_OPTIONS = (
    *("-Os", "-nostdlib", "-static", "-ffreestanding", "-fno-pic", "-no-pie", "-Wall", "-Wextra"),
    *("-fno-stack-protector", "-fno-asynchronous-unwind-tables", "-fcf-protection=none"),
    *(
        "-fno-stack-clash-protection",
        "-Wno-unused-function",
        "-fdata-sections",
        "-Wl,--gc-sections",
        "-Wl,--build-id=none",
        "-Werror",
    ),
)


def compiler(arch: str) -> str | None:
    """The compiler for that architecture, if there is one."""
    return shutil.which(f"{arch}-linux-gnu-gcc")


def version(gcc: str) -> str:
    """Which it is, whatever it builds for."""
    done = subprocess.run([gcc, "-dumpfullversion"], check=True, capture_output=True, text=True)
    return f"gcc {done.stdout.strip()}"


def build(name: str, arch: str, gcc: str) -> bytes:
    """The code of a program."""
    options = [one for one in _OPTIONS if arch == "x86_64" or one != "-fcf-protection=none"]
    with tempfile.TemporaryDirectory() as folder:
        linked, code = Path(folder, "linked"), Path(folder, "code")
        script = FOLDER / "programs.ld"
        source = [f"-DPROGRAM={name}", str(FOLDER / "programs.c"), f"-Wl,-T,{script}"]
        subprocess.run([gcc, *options, *source, "-o", str(linked)], check=True)
        objcopy = gcc.removesuffix("gcc") + "objcopy"
        subprocess.run([objcopy, "-O", "binary", "-j", ".text", str(linked), str(code)], check=True)
        return code.read_bytes()


def main() -> None:
    """Build all."""
    for arch in ARCHITECTURES:
        gcc = compiler(arch)
        if gcc is None:
            raise SystemExit(f"there is no {arch}-linux-gnu-gcc (Debian: gcc-{arch}-linux-gnu)")
        (FOLDER / arch).mkdir(exist_ok=True)
        for name in NAMES:
            (FOLDER / arch / name).write_bytes(build(name, arch, gcc))
        BUILT_BY.write_text(f"{version(gcc)}\n")


if __name__ == "__main__":
    main()
