"""The C and C++ sysroot that C, C++ and Rust share, made out of the wheel `ziglang`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasmgrid.build.toolchains.language import Component
from wasmgrid.build.toolchains.pins import ZIGLANG
from wasmgrid.build.toolchains.zig import ZIG_WHEEL

if TYPE_CHECKING:
    from wasmgrid.build.installation import Installation


def _install(into: Installation) -> None:
    from wasmgrid.build.wasi_sysroot import make_sysroot  # noqa: PLC0415 - only an installation needs it

    make_sysroot(into)


SYSROOT = Component(
    name="sysroot",
    version=ZIGLANG.version,
    revision=f"{ZIGLANG.revision}/1",
    install=_install,
    download_mb=0,
    disk_mb=35,
    install_s=60,
    needs=(ZIG_WHEEL,),
)
