"""The C of a network, compiled and run: here, and on emulated microcontrollers."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mnist_arch.errors import ExportDiffers
from mnist_arch.exports.c_text import CSource

if TYPE_CHECKING:
    from numpy.typing import NDArray

STRICT: Final = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-Wpedantic")
HOST_COMPILERS: Final = ("gcc", "clang", "cc")
SECONDS: Final = 600
REPORT: Final = "nothing is written; please report it with the spec of the network"

_MAIN: Final = """
#include <stdio.h>
#include "{name}.h"

int main(void)
{{
    static uint8_t image[784];
    static {logit} logits[{macro}_CLASSES];

    while (fread(image, 1, sizeof image, stdin) == sizeof image) {{
        const int32_t found = {prefix}_predict(image, logits);

        if (fwrite(&found, sizeof found, 1, stdout) != 1 ||
            fwrite(logits, sizeof logits, 1, stdout) != 1)
            return 1;
    }}
    return 0;
}}
"""


@dataclass(frozen=True)
class Board:
    """A microcontroller: who compiles for it, with what, and who emulates it."""

    name: str
    compiler: str
    size: str
    """The program that says how large an object is."""
    flags: tuple[str, ...]
    emulator: str
    machine: tuple[str, ...]
    script: str
    start: str
    linked: tuple[str, ...]
    cycles_per_instruction: float | None
    """Of the model that cycles are estimated by; none where the core is not known."""


@dataclass(frozen=True)
class Footprint:
    """What a network takes on a microcontroller."""

    board: str
    flash_bytes: int
    """Code and constants."""
    ram_bytes: int
    """Static memory; the stack comes on top."""
    instructions: int | None
    """Of one prediction, counted by the emulator; none where there is none."""
    cycles: int | None
    """By the stated model."""
    cycles_per_instruction: float | None
    """That of the model."""


def host_compiler() -> str | None:
    """The first C compiler there is here."""
    return next((it for it in HOST_COMPILERS if shutil.which(it)), None)


def run_here(
    source: CSource,
    images_NHW: NDArray[Any],
    *,
    compiler: str,
    flags: Sequence[str] = ("-O2",),
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Compiles and runs it on images, (N, 28, 28) uint8. Returns labels (N,) and logits (N, K).

    Raises ExportDiffers.
    """
    with TemporaryDirectory(prefix="mnist-arch-") as name:
        folder = Path(name)
        _written(source, folder)
        program = folder / "main"
        macro = source.prefix.upper()
        main = _MAIN.format(name=source.name, logit=source.logit, macro=macro, prefix=source.prefix)
        (folder / "main.c").write_text(main)
        files = [f"{source.name}.c", "main.c"]
        _run([compiler, *STRICT, *flags, *files, "-o", str(program), "-lm"], folder)
        output = _run([str(program)], folder, given=images_NHW.tobytes())
    rows = np.frombuffer(output, np.int32).reshape(len(images_NHW), -1)
    logits = rows[:, 1:]
    return rows[:, 0], logits if source.logit == "int32_t" else logits.copy().view(np.float32)


def footprint(source: CSource, board: Board, image_HW: NDArray[Any]) -> Footprint | None:
    """What it takes on a board; None where its compiler is not here. Raises ExportDiffers."""
    if not (shutil.which(board.compiler) and shutil.which(board.size)):
        return None
    with TemporaryDirectory(prefix="mnist-arch-") as name:
        folder = Path(name)
        _written(source, folder)
        compiled = [board.compiler, *STRICT, "-O2", *board.flags]
        _run([*compiled, "-c", f"{source.name}.c", "-o", "network.o"], folder)
        text, data, bss = map(int, _run([board.size, "network.o"], folder).split()[6:9])
        instructions = _instructions(source, board, image_HW, folder, compiled)
    per = board.cycles_per_instruction
    cycles = None if instructions is None or per is None else round(instructions * per)
    return Footprint(board.name, text + data, data + bss, instructions, cycles, per)


def _instructions(
    source: CSource, board: Board, image_HW: NDArray[Any], folder: Path, compiled: list[str]
) -> int | None:
    if not shutil.which(board.emulator):
        return None
    pixels = ", ".join(map(str, image_HW.reshape(-1).tolist()))
    start = board.start.replace("@PIXELS@", pixels).replace("@NAME@", source.name)
    start = start.replace("@PREFIX@", source.prefix).replace("@MACRO@", source.prefix.upper())
    (folder / "start.c").write_text(start.replace("@LOGIT@", source.logit))
    (folder / "board.ld").write_text(board.script)
    files = ["start.c", f"{source.name}.c", "-o", "board.elf"]
    plain = [it for it in compiled if it not in ("-Wpedantic", "-Werror", "-Wextra")]
    _run([*plain, "-nostartfiles", "-T", "board.ld", *files, *board.linked], folder)
    output = _run([board.emulator, *board.machine, "-kernel", "board.elf"], folder).split()
    return int(output[0]) if output and output[0].isdigit() else None


def _written(source: CSource, folder: Path) -> None:
    (folder / f"{source.name}.c").write_text(source.source)
    (folder / f"{source.name}.h").write_text(source.header)


def _run(command: list[str], folder: Path, *, given: bytes = b"") -> bytes:
    try:
        done = subprocess.run(
            command, cwd=folder, input=given, capture_output=True, check=True, timeout=SECONDS
        )
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip()[-500:]
        message = f"{command[0]} ends with {error.returncode}: {said}"
        raise ExportDiffers(message, hint=REPORT) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ExportDiffers(f"{command[0]}: {error}", hint=REPORT) from None
    return done.stdout or done.stderr  # where semihosting writes


# ------------------------------------------------------------------------------------------- boards

_ARM_START: Final = """
#include "@NAME@.h"

#define TIMER ((volatile uint32_t *)0x40000000) /* 25 MHz, counts down */

static const uint8_t image[784] = { @PIXELS@ };
static @LOGIT@ logits[@MACRO@_CLASSES];

static void host(int what, const void *with)
{
    register int r0 __asm__("r0") = what;
    register const void *r1 __asm__("r1") = with;

    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

static void start(void)
{
    char text[16];
    uint32_t ticks;
    uint64_t count;
    int at = 15;

    *(volatile uint32_t *)0xE000ED88 |= 0xFu << 20; /* the FPU */
    __asm__ volatile("dsb\\nisb");
    TIMER[2] = 0xffffffffu;
    TIMER[1] = 0xffffffffu;
    TIMER[0] = 1;
    ticks = TIMER[1];
    @PREFIX@_predict(image, logits);
    ticks -= TIMER[1];
    count = (uint64_t)ticks * 40; /* with -icount shift=0 an instruction takes 1 ns */
    text[at] = 0;
    do
        text[--at] = (char)('0' + count % 10);
    while (count /= 10);
    host(0x04, text + at);
    host(0x18, (void *)0x20026);
    for (;;)
        ;
}

__attribute__((section(".vectors"), used)) static const void *const vectors[2] = {
    (void *)0x20400000, (void *)start
};
"""

_ARM_SCRIPT: Final = """
MEMORY { FLASH (rx) : ORIGIN = 0x00000000, LENGTH = 4M
         RAM (rwx) : ORIGIN = 0x20000000, LENGTH = 4M }
SECTIONS {
    .text : { KEEP(*(.vectors)) *(.text*) *(.rodata*) } > FLASH
    .ARM.exidx : { *(.ARM.exidx*) } > FLASH
    .bss (NOLOAD) : { *(.data*) *(.bss*) *(COMMON) } > RAM
}
"""

CORTEX_M4: Final = Board(
    name="Arm Cortex-M4F",
    compiler="arm-none-eabi-gcc",
    size="arm-none-eabi-size",
    flags=("-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"),
    emulator="qemu-system-arm",
    machine=(
        *("-M", "mps2-an386", "-nographic", "-monitor", "none", "-serial", "none"),
        *("-semihosting", "-icount", "shift=0"),
    ),
    script=_ARM_SCRIPT,
    start=_ARM_START,
    linked=("-lm",),
    cycles_per_instruction=1.5,
)
"""1.5 cycles an instruction: 1 is what most take, 2 a load, 2 to 4 a branch that is taken (Arm, The
Cortex-M4 Technical Reference Manual, Table 3-1), from memory without wait states."""

_RISCV_START: Final = """
#include "@NAME@.h"

static const uint8_t image[784] = { @PIXELS@ };
static @LOGIT@ logits[@MACRO@_CLASSES];

__attribute__((used)) void begin(void)
{
    char text[16];
    uint32_t before, after, count;
    int at = 15;

    __asm__ volatile("csrr %0, minstret" : "=r"(before));
    @PREFIX@_predict(image, logits);
    __asm__ volatile("csrr %0, minstret" : "=r"(after));
    count = after - before;
    text[at] = 0;
    do
        text[--at] = (char)('0' + count % 10);
    while (count /= 10);
    while (text[at] != 0)
        *(volatile char *)0x10000000 = text[at++]; /* the serial port */
    *(volatile uint32_t *)0x100000 = 0x5555;       /* the end */
    for (;;)
        ;
}

__asm__(".section .vectors,\\"ax\\"\\n.globl _start\\n_start: la sp, stack_top\\n j begin\\n");
"""

_RISCV_SCRIPT: Final = """
ENTRY(_start)
MEMORY { RAM (rwx) : ORIGIN = 0x80000000, LENGTH = 8M }
SECTIONS {
    .text : { KEEP(*(.vectors)) *(.text*) *(.rodata*) *(.srodata*) } > RAM
    .bss : { *(.data*) *(.sdata*) *(.sbss*) *(.bss*) *(COMMON) } > RAM
    stack_top = 0x80800000;
}
"""

RV32IMC: Final = Board(
    name="RISC-V RV32IMC",
    compiler="riscv64-unknown-elf-gcc",
    size="riscv64-unknown-elf-size",
    flags=("-march=rv32imc", "-misa-spec=2.2", "-mabi=ilp32", "--specs=picolibc.specs"),
    emulator="qemu-system-riscv32",
    machine=(
        *("-M", "virt", "-bios", "none", "-nographic", "-monitor", "none", "-serial", "stdio"),
        *("-icount", "shift=0"),
    ),
    script=_RISCV_SCRIPT,
    start=_RISCV_START,
    linked=("-lm",),
    cycles_per_instruction=None,
)
BOARDS: Final = (CORTEX_M4, RV32IMC)
