# SPDX-License-Identifier: Apache-2.0
"""The build: extensions for Python, and three steps of podfast's own.

build_tables    native/seccomp  → build/include/pf_seccomp_default.h, which the core includes
build_ext       native/core native/ffi → podfast._native._core; each native/cython/X.pyx → podfast._native.X
build_programs  native/{shim,init,pause} → podfast/_native/bin: static programs
build_unpacker  native/unpack, by maturin → podfast/_native/bin/podfast-unpack

PODFAST_WERROR=1 makes C warnings errors; PODFAST_SANITIZE=1 builds with the address and undefined behaviour sanitizers.
"""

from __future__ import annotations

import functools
import os
import platform
import runpy
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar

from setuptools import Command, Extension, setup
from setuptools.command.build import build
from setuptools.command.build_ext import build_ext

# Build front ends do not put the project on the path.
sys.path.insert(0, str(Path(__file__).parent / "native"))
import toolchain

NATIVE = Path("native")
SCRATCH = Path("build", "sanitize" if toolchain.flag("PODFAST_SANITIZE") else "release")
TABLES = Path("build", "include")
CORE = sorted((NATIVE / "core").glob("*.c"))
HEADERS = [*sorted(NATIVE.glob("*/*.h")), TABLES / "pf_seccomp_default.h"]


def stale(out: Path, sources: Iterable[Path]) -> bool:
    """Whether `out` is missing or older than one of its sources."""
    return not out.exists() or any(out.stat().st_mtime_ns < source.stat().st_mtime_ns for source in sources)


def renew(out: Path, sources: Iterable[Path], make: Callable[[Path], object]) -> None:
    """Call `make` with a path beside `out` and move it there when that has worked, if `out` is stale."""
    if stale(out, [*sources, Path("setup.py"), NATIVE / "toolchain.py"]):
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
            made = Path(scratch, out.name)
            make(made)
            os.replace(made, out)


class Step(Command):
    """One step of the build: makes `results` under `SCRATCH` and copies them into the package."""

    user_options: ClassVar[list[tuple[str, str | None, str]]] = []
    editable_mode = False
    build_lib: str | None = None
    results: tuple[Path, ...] = ()

    def initialize_options(self) -> None:
        self.build_lib = None

    def finalize_options(self) -> None:
        self.set_undefined_options("build", ("build_lib", "build_lib"))

    def folder(self) -> Path:
        return Path("python" if self.editable_mode else str(self.build_lib), "podfast", "_native", "bin")

    def run(self) -> None:
        try:
            toolchain.check()
            self.make()
        except toolchain.ToolError as error:
            raise SystemExit(f"error: {error}") from None
        for result in self.results:
            self.folder().mkdir(parents=True, exist_ok=True)
            renew(self.folder() / result.name, [result], functools.partial(shutil.copy2, result))

    def make(self) -> None:
        raise NotImplementedError

    def get_outputs(self) -> list[str]:
        return [str(self.folder() / result.name) for result in self.results]

    def get_output_mapping(self) -> dict[str, str]:
        return {}

    def get_source_files(self) -> list[str]:
        return []  # MANIFEST.in names them


class BuildTables(Step):
    description = "generate the tables that C files include"

    def make(self) -> None:
        generator = NATIVE / "seccomp" / "generate.py"
        generate = runpy.run_path(str(generator))["generate"]
        renew(
            TABLES / "pf_seccomp_default.h", [path for path in generator.parent.iterdir() if path.is_file()], generate
        )


class BuildPrograms(Step):
    description = "build the static programs"
    results = tuple(SCRATCH / name for name in ("podfast-shim", "podfast-init", "podfast-pause"))

    def make(self) -> None:
        shim, init, pause = self.results
        self.compile(shim, [*sorted((NATIVE / "shim").glob("*.c")), *CORE])
        self.compile(init, sorted((NATIVE / "init").glob("*.c")))
        assemble = runpy.run_path(str(NATIVE / "pause" / "build.py"))["build"]
        renew(pause, (NATIVE / "pause").glob("*.*"), lambda out: assemble(out, platform.machine()))

    def compile(self, out: Path, sources: list[Path]) -> None:
        includes = [TABLES, sources[0].parent]
        renew(out, [*sources, *HEADERS], lambda made: toolchain.compile_program(made, sources, includes))


class BuildUnpacker(Step):
    description = "build the image unpacker, in Rust"
    results = (SCRATCH / "podfast-unpack",)

    def make(self) -> None:
        crate = NATIVE / "unpack"
        sources = [*crate.glob("src/**/*.rs"), *crate.glob("Cargo.*"), crate / "pyproject.toml"]
        renew(self.results[0], sources, lambda out: self.compile(crate, out))

    def compile(self, crate: Path, out: Path) -> None:
        """Have maturin build a wheel with the program, and take it out of there."""
        target = str(Path("build", "cargo").absolute())
        options = ["--release", "--locked", "--auditwheel", "skip", "--target-dir", target]
        maturin = shutil.which("maturin") or str(Path(sys.executable).with_name("maturin"))
        environment = {**os.environ, "CARGO": str(toolchain.cargo())}
        environment["PATH"] = os.pathsep.join(
            [str(Path(environment["CARGO"]).parent), os.environ.get("PATH", os.defpath)]
        )
        wheels = out.parent / "wheels"
        toolchain.run(
            [maturin, "build", *options, "--manifest-path", str(crate / "Cargo.toml"), "--out", str(wheels)],
            env=environment,
        )
        with zipfile.ZipFile(next(wheels.glob("*.whl"))) as wheel:
            name = next(name for name in wheel.namelist() if name.endswith(f"/scripts/{out.name}"))
            out.write_bytes(wheel.read(name))
        out.chmod(0o755)


class BuildExtensions(build_ext):
    """Keeps what it made under `SCRATCH`, since an editable install builds in a fresh directory each time."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.cython_c_in_temp = True
        self.cython_include_dirs = [str(NATIVE / "cython")]
        self.build_temp = str(SCRATCH / str(sys.implementation.cache_tag))
        sanitize = toolchain.SANITIZE if toolchain.flag("PODFAST_SANITIZE") else []
        shared = [*(NATIVE / "ffi").glob("*"), *(NATIVE / "cython").glob("*.pxd")]
        for extension in self.extensions:
            extension.include_dirs = [*extension.include_dirs, str(TABLES)]
            extension.depends = [*map(str, HEADERS), *map(str, shared)]
            extension.extra_compile_args = [*toolchain.LANGUAGE, "-O2", "-g0", "-fvisibility=hidden", *sanitize]
            extension.extra_link_args = [flag for flag in sanitize if flag.startswith("-fsanitize")]

    def build_extension(self, ext: Extension) -> None:
        out = Path(self.get_ext_fullpath(ext.name))

        def make(made: Path) -> None:
            super(BuildExtensions, self).build_extension(ext)
            shutil.copy2(out, made)

        kept = Path(self.build_temp, out.name)
        renew(kept, [Path(path) for path in (*ext.sources, *ext.depends)], make)
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(kept, out)


class Build(build):
    sub_commands: ClassVar[Any] = [
        ("build_tables", None),
        *build.sub_commands,
        ("build_programs", None),
        ("build_unpacker", None),
    ]


def cython_extensions() -> list[Any]:
    return [
        Extension(f"podfast._native.{path.stem}", [str(path)]) for path in sorted((NATIVE / "cython").glob("*.pyx"))
    ]


setup(
    ext_modules=cython_extensions(),
    cffi_modules=["native/ffi/build.py:ffibuilder"],
    cmdclass={
        "build": Build,
        "build_ext": BuildExtensions,
        "build_tables": BuildTables,
        "build_programs": BuildPrograms,
        "build_unpacker": BuildUnpacker,
    },
)
