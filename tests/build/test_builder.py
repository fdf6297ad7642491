"""The builder: what it does before and after a compiler runs, and how many run at once."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from wasmgrid.build import doctor
from wasmgrid.build.builder import Builder, Built
from wasmgrid.build.compiling import Project
from wasmgrid.build.provision import Ready
from wasmgrid.build.sandbox import Kind, Sandbox
from wasmgrid.build.toolchains import LANGUAGES
from wasmgrid.build.toolchains.language import Language
from wasmgrid.core.errors import InvalidField, SandboxUnavailable
from wasmgrid.core.job import SourceRef
from wasmgrid.core.outcome import OutcomeKind, exited
from wasmgrid.core.resources import Resources
from wasmgrid.core.wire import BuildWork

WorkFor = Callable[..., tuple[BuildWork, bytes]]
MakeBuilder = Callable[..., Builder]
GOOD_C = {"a.c": "int main(void) { return 0; }\n"}


def rejected(built: Built) -> str:
    """The message of a build that nobody's source is to blame for."""
    assert built.outcome.kind is OutcomeKind.REJECTED, built
    assert built.module is None
    return built.outcome.message or ""


def run(builder: Builder, work: BuildWork, source: bytes, phases: list[str] | None = None) -> Built:
    """One build, in an event loop of its own."""
    return asyncio.run(builder.build(work, source, on_phase=(phases if phases is not None else []).append))


def test_phases_are_told(make_builder: MakeBuilder, work_for: WorkFor, need: Callable[..., None]) -> None:
    need("c")
    phases: list[str] = []
    assert run(make_builder(), *work_for(GOOD_C), phases).outcome == exited(0)
    assert phases == ["compiling"]


def test_another_toolchain_than_the_build_key_was_made_with(
    make_builder: MakeBuilder, work_for: WorkFor, need: Callable[..., None]
) -> None:
    need("c")
    assert "submit the job again" in rejected(run(make_builder(), *work_for(GOOD_C, toolchain="c-0_0-other")))


def test_a_missing_toolchain_is_not_installed_unasked(tmp_path: Path, sandbox: Sandbox, work_for: WorkFor) -> None:
    builder = Builder(tmp_path / "none", tmp_path / "work")
    builder._sandbox = sandbox
    assert "wasmgrid toolchain install c" in rejected(run(builder, *work_for(GOOD_C)))


def test_a_missing_toolchain_is_installed_on_first_use_and_its_cost_said(
    tmp_path: Path, sandbox: Sandbox, work_for: WorkFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder = Builder(tmp_path / "none", tmp_path / "work")
    builder._sandbox = sandbox
    asked: list[list[str]] = []

    def install(languages: list[Language], progress: Callable[[str, int, int], None]) -> dict[str, InvalidField]:
        asked.append([language.name for language in languages])
        progress("zig: ready", 1, 2)
        return {"c": InvalidField("no room", hint="make some")}

    monkeypatch.setattr(builder.provision, "install", install)
    phases: list[str] = []
    assert rejected(run(builder, *work_for(GOOD_C, install=True), phases)) == "no room · make some"
    assert asked == [["c"]]
    assert phases[0].startswith("installing the toolchain for c (100 MB, about 70 s)")
    assert phases[-1].endswith("zig: ready 1/2")


def test_without_a_sandbox_nothing_is_compiled_but_a_module_passes(
    tmp_path: Path, work_for: WorkFor, monkeypatch: pytest.MonkeyPatch, build: Callable[..., Built]
) -> None:
    async def none(**_options: object) -> Sandbox:
        raise SandboxUnavailable("no sandbox for compilers works here", hint="do this")

    module = build(LANGUAGES["wat"].hello).module
    monkeypatch.setattr("wasmgrid.build.builder.find_sandbox", none)
    builder = Builder(tmp_path / "tools", tmp_path / "work")
    assert rejected(run(builder, *work_for(GOOD_C))) == "no sandbox for compilers works here · do this"
    assert run(builder, *work_for({"x.wasm": module})).module == module


def test_unsandboxed_builds_work_where_they_are_asked_for(
    make_builder: MakeBuilder, work_for: WorkFor, need: Callable[..., None]
) -> None:
    need("c", "cpp", "go", "rust", "zig")
    builder = make_builder(held=Sandbox(kind=Kind.NONE))
    for name in ("c", "rust", "wat"):
        assert run(builder, *work_for(LANGUAGES[name].hello)).outcome == exited(0)
    failed = run(builder, *work_for({"a.c": "int main(void) { return x; }\n"}))
    assert failed.diagnostics.startswith("a.c:1:25: error")


@pytest.mark.parametrize("name", [name for name in LANGUAGES if LANGUAGES[name].hello])
def test_every_language_compiles_under_landlock_too(name: str, build: Callable[..., Built], sandbox: Sandbox) -> None:
    held = Sandbox(kind=Kind.LANDLOCK, root=sandbox.root)
    built = build(LANGUAGES[name].hello, held=held)
    assert built.outcome == exited(0), built
    assert built.module == build(LANGUAGES[name].hello).module  # where it was compiled does not show in it


@pytest.mark.parametrize(
    ("source", "word"),
    [
        (b"not a pack of files", "damaged"),
        (b"\x90", "no files"),
        (b"\x91\x92\xa6../a.c\xc4\x01x", "must be relative"),
        (b"\x91\x92\xa3b.c\xc4\x01x", "not among the files"),
    ],
)
def test_a_blob_that_no_server_should_have_let_in(make_builder: MakeBuilder, source: bytes, word: str) -> None:
    from wasmgrid.core.digest import sha256_hex

    reference = SourceRef(sha256=sha256_hex(source), language="c", entry="a.c")
    work = BuildWork(build_id=1, build_key="", source=reference, toolchain="", need=Resources())
    assert word in rejected(run(make_builder(), work, source))


def test_a_full_disk_is_not_the_sources_fault(
    make_builder: MakeBuilder, work_for: WorkFor, need: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    need("c")

    def full(_root: Path, _files: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("wasmgrid.build.workdir.write_files", full)
    assert "No space left" in rejected(run(make_builder(), *work_for(GOOD_C)))


def test_builds_run_side_by_side_up_to_a_bound(
    make_builder: MakeBuilder, work_for: WorkFor, need: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    need("c")
    builder = make_builder(concurrency=2)
    running = most = 0

    async def compile_one(_language: Language, _ready: Ready, _project: Project) -> Built:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.02)
        running -= 1
        return Built(outcome=exited(0))

    monkeypatch.setattr(builder, "_compile", compile_one)

    async def go() -> None:
        await asyncio.gather(*(builder.build(*work_for(GOOD_C)) for _ in range(6)))

    asyncio.run(go())
    assert most == 2


def test_many_real_builds_at_once(make_builder: MakeBuilder, work_for: WorkFor, need: Callable[..., None]) -> None:
    need("c")
    builder = make_builder(concurrency=4)

    async def go() -> list[Built]:
        sources = [{"a.c": f"int main(void) {{ return {number}; }}\n"} for number in range(8)]
        return await asyncio.gather(*(builder.build(*work_for(files)) for files in sources))

    built = asyncio.run(go())
    assert all(each.outcome == exited(0) for each in built)
    assert len({each.module for each in built}) == 8


def test_what_a_killed_builder_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "work" / "build-abc" / "src").mkdir(parents=True)
    Builder(tmp_path / "tools", tmp_path / "work")
    assert list((tmp_path / "work").iterdir()) == []


def test_doctor_lists_and_checks(make_builder: MakeBuilder, need: Callable[..., None]) -> None:
    need("c")
    builder = make_builder()
    listed = {each.language: each for each in doctor.toolchains(builder)}
    assert set(listed) == set(LANGUAGES)
    assert listed["c"].state == "ready"
    assert listed["c"].disk_bytes > 1 << 20
    assert listed["wat"].state == "builtin"
    if listed["python"].state == "ready":  # what wasmgrid itself runs on is part of no toolchain, nor the user's
        assert not listed["python"].users_own
        assert sys.prefix not in "".join(listed["python"].paths)
    assert asyncio.run(doctor.sandbox(builder)).kind in set(Kind)
    checked = asyncio.run(doctor.check(builder, "c"))
    assert checked.ok, checked


def test_doctor_says_what_is_missing(tmp_path: Path, sandbox: Sandbox) -> None:
    builder = Builder(tmp_path / "none", tmp_path / "work")
    builder._sandbox = sandbox
    listed = {each.language: each for each in doctor.toolchains(builder)}
    assert listed["rust"].state in {"missing", "ready"}  # a user's own may be there
    assert listed["c"].state == "missing"
    assert listed["c"].download_mb > 0
    checked = asyncio.run(doctor.check(builder, "c"))
    assert not checked.ok
    assert "toolchain install c" in checked.detail
