"""Guests that reach for files which are not theirs, or fill those that are. Numbers are rows of HOSTILE.md."""

from __future__ import annotations

import io
import tarfile
from copy import deepcopy
from pathlib import Path

import pytest
from tests.runner.bench import CREATE, DIRECTORY, FIRST, READ_RIGHTS, WRITE_RIGHTS, Bench, Guest, file_input

from wasmgrid.core.outcome import OutcomeKind
from wasmgrid.worker.task import RunnerReport

pytestmark = pytest.mark.timeout(120)

OK, ACCES, BADF, EXIST, NOENT, NOSPC, NOTDIR, PERM, ROFS = 0, 2, 8, 20, 44, 51, 54, 63, 69
DENIED = {ACCES, PERM, ROFS, 76}  # 76: not capable
SECOND = FIRST + 1


def notes(report: RunnerReport) -> list[int]:
    """The errnos that the guest reported."""
    assert report.outcome.exit_code == 0, report
    return list(report.stdout.data)


def tree(path: Path, files: dict[str, str]) -> Path:
    """A tar archive of `files`."""
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content.encode()))
    return path


def test_scratch_is_empty_writable_and_never_kept(bench: Bench) -> None:
    for _ in range(2):  # the second attempt is on the same runner and must not find the first one's file
        guest = Guest().open("mine").create("mine", "data").open("mine").echo()
        report = bench.run(guest)
        assert report.stdout.data == b"data"


def test_hostile_38_20000_open_files(bench: Bench) -> None:
    guest = Guest().create("f", "x")
    rights = f"(i64.const {READ_RIGHTS}) (i64.const {READ_RIGHTS})"
    guest.do(
        f"""(loop $more
          (local.set $j (call $path_open (i32.const {FIRST}) (i32.const 1) {guest.text("f")}
            (i32.const 0) {rights} (i32.const 0) (i32.const 0)))
          (br_if $more (i32.and (i32.eqz (local.get $j))
            (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 20000)))))"""
    )
    guest.do("(call $note (local.get $j)) (call $note (i32.gt_u (local.get $i) (i32.const 100)))").report()
    # With all descriptors gone, its output is still kept and its limits still hold.
    flood = "(loop $f (drop (call $write (i32.const 1) (i32.const 0) (i32.const 65536))) (br $f))"
    report = bench.run(deepcopy(guest).do(flood), output_bytes=200_000)
    assert (report.outcome.kind, report.stdout.size) == (OutcomeKind.OUTPUT_LIMIT, 200_000)
    created, last, many = notes(bench.run(guest))
    assert (created, many) == (OK, 1)
    assert last in {29, 33}  # too many open files, which the runtime tells as an I/O error
    bench.check_alive()


FILL = """(loop $more
    (i32.store (i32.const 16) (i32.const 0)) (i32.store (i32.const 20) (i32.const 65536))
    (local.set $i (call $fd_write (i32.load (i32.const 0)) (i32.const 16) (i32.const 1) (i32.const 24)))
    (br_if $more (i32.eqz (local.get $i))))
  (call $note (local.get $i))"""


def test_hostile_40_scratch_disk_filled(bench: Bench) -> None:
    guest = Guest().open("big", flags=CREATE, rights=WRITE_RIGHTS).do(FILL).report()
    if not bench.confinement.sized_scratch:  # watched instead: the guest is stopped
        assert bench.run(guest, disk_mb=4).outcome.kind is OutcomeKind.OUTPUT_LIMIT
        bench.check_alive()
        return
    assert notes(bench.run(guest, disk_mb=4)) == [OK, NOSPC]
    # Cleaned up: the next one on the same runner has all of it again.
    assert notes(bench.run(guest, disk_mb=4)) == [OK, NOSPC]


MAKE_MANY = """(loop $more
    (i32.store8 (i32.const 600) (i32.add (i32.const 97) (i32.rem_u (local.get $i) (i32.const 26))))
    (local.set $j (i32.div_u (local.get $i) (i32.const 26)))
    (i32.store8 (i32.const 601) (i32.add (i32.const 97) (i32.rem_u (local.get $j) (i32.const 26))))
    (i32.store8 (i32.const 602) (i32.add (i32.const 97) (i32.div_u (local.get $j) (i32.const 26))))
    (local.set $j (call $path_create_directory (i32.const 3) (i32.const 600) (i32.const 3)))
    (br_if $more (i32.and (i32.eqz (local.get $j))
      (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 17000)))))
  (call $note (local.get $j))"""


def test_hostile_40_inodes_filled(bench: Bench) -> None:
    if not bench.confinement.sized_scratch:
        pytest.skip("the scratch has no inode limit on this machine")
    assert notes(bench.run(Guest().do(MAKE_MANY).report(), disk_mb=4)) == [NOSPC]
    bench.check_alive()


def test_a_tree_deeper_than_python_recurses_costs_one_runner_at_most(bench: Bench) -> None:
    guest = Guest()
    name, rights = guest.text("d"), f"(i64.const {READ_RIGHTS | 1 << 9 | 1 << 13})"
    guest.do(
        f"""(local.set $j (i32.const {FIRST}))
        (loop $more
          (drop (call $path_create_directory (local.get $j) {name}))
          (drop (call $path_open (local.get $j) (i32.const 0) {name} (i32.const {DIRECTORY}) {rights} {rights}
            (i32.const 0) (i32.const 4)))
          (drop (call $fd_close (select (local.get $j) (i32.const 999) (i32.gt_u (local.get $j) (i32.const {FIRST})))))
          (local.set $j (i32.load (i32.const 4)))
          (br_if $more (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 3000))))"""
    )
    report = bench.run(guest)
    assert not report.crashed
    if bench.confinement.sized_scratch:
        assert report.outcome.exit_code == 0
    bench.check_alive()


@pytest.mark.parametrize("path", ["../x", "../../../../etc/passwd", "a/../../x", "/etc/passwd", "..", "tmp/../../x"])
def test_hostile_41_paths_that_escape(bench: Bench, path: str) -> None:
    report = bench.run(Guest().open(path).open(path, flags=CREATE, rights=WRITE_RIGHTS).report())
    assert not set(notes(report)) & {OK}


@pytest.mark.parametrize("target", ["/etc/passwd", "../../etc/passwd", "../modules", "/", ".."])
def test_hostile_41_symlinks_that_escape(bench: Bench, target: str) -> None:
    guest = Guest()
    guest.note("path_symlink", guest.text(target), FIRST, guest.text("link"))
    guest.open("link").open("link/x").open("link/", flags=DIRECTORY)
    guest.open("link/y", flags=CREATE, rights=WRITE_RIGHTS).report()
    first, *rest = notes(bench.run(guest))
    assert OK not in rest, (first, rest)


def test_hostile_41_renames_and_links_that_escape(bench: Bench, tmp_path: Path) -> None:
    blob = tree(tmp_path / "in.tar", {"a": "secret"})
    guest = Guest().create("f", "x")
    text = guest.text
    guest.note("path_rename", FIRST, text("f"), FIRST, text("../f"))
    guest.note("path_rename", FIRST, text("f"), SECOND, text("f"))
    guest.note("path_rename", SECOND, text("a"), FIRST, text("a"))
    guest.note("path_link", SECOND, 0, text("a"), FIRST, text("a"))
    guest.note("path_link", FIRST, 0, text("../modules"), FIRST, text("m"))
    guest.open("f/").open("f/../../io/stdout").report()
    created, *rest = notes(bench.run(guest, inputs=[(file_input("/in/data", tree=True), blob)]))
    assert created == OK
    assert OK not in rest


def test_hostile_42_writes_to_a_read_only_input(bench: Bench, tmp_path: Path) -> None:
    blob = tree(tmp_path / "in.tar", {"a": "content", "sub/b": "deep"})
    guest = Guest().open("a", directory=SECOND).echo()
    text = guest.text
    guest.open("a", flags=0, rights=WRITE_RIGHTS, directory=SECOND)
    guest.open("new", flags=CREATE, rights=WRITE_RIGHTS, directory=SECOND)
    guest.note("path_unlink_file", SECOND, text("a"))
    guest.note("path_create_directory", SECOND, text("sub/c"))
    guest.note("path_symlink", text("a"), SECOND, text("l"))
    guest.note("path_rename", SECOND, text("a"), SECOND, text("z")).report()
    report = bench.run(guest, inputs=[(file_input("/in/data", tree=True), blob)])
    assert report.stdout.data.startswith(b"content\0\0")
    assert set(report.stdout.data[len(b"content\0\0") :]) <= DENIED


def test_hostile_42_a_read_only_file_in_the_root(bench: Bench, tmp_path: Path) -> None:
    blob = tmp_path / "blob"
    blob.write_text("content")
    guest = Guest().open("data.txt").echo().open("data.txt", rights=WRITE_RIGHTS).create("mine", "").report()
    report = bench.run(guest, inputs=[(file_input("/data.txt"), blob)])
    opened, read, written, mine = report.stdout.data[len(b"content") :]
    assert (opened, read, mine) == (OK, OK, OK)
    assert written in DENIED


def test_inputs_files_trees_and_writable_ones(bench: Bench, tmp_path: Path) -> None:
    one, many = tmp_path / "one", tree(tmp_path / "many.tar", {"x": "tree", "deep/y": "y"})
    one.write_text("file")
    inputs = [
        (file_input("/in/one.txt"), one),
        (file_input("/work", tree=True, writable=True), many),
        (file_input("/", tree=True), many),
    ]
    guest = Guest().open("one.txt", directory=SECOND).echo().open("work/x").echo().open("deep/y").echo()
    guest.open("work/x", flags=8, rights=WRITE_RIGHTS).open("x", flags=8, rights=WRITE_RIGHTS).report()
    data = bench.run(guest, inputs=inputs).stdout.data
    assert data.startswith(b"filetreey")
    assert data[-2] == OK
    assert data[-1] in DENIED
    assert one.read_text() == "file"


def test_writable_inputs_beside_read_only_ones(bench: Bench, tmp_path: Path) -> None:
    blob = tmp_path / "blob"
    blob.write_text("b")
    inputs = [(file_input("/in/ro"), blob), (file_input("/in/rw", writable=True), blob)]
    guest = Guest().open("in/ro").open("in/ro", rights=WRITE_RIGHTS).open("in/rw", rights=WRITE_RIGHTS).report()
    opened, ro, rw = notes(bench.run(guest, inputs=inputs))
    assert (opened, rw) == (OK, OK)
    assert ro in DENIED


def test_inputs_that_do_not_fit_are_rejected(bench: Bench, tmp_path: Path) -> None:
    blob = tmp_path / "blob"
    blob.write_bytes(bytes(6 << 20))
    report = bench.run(Guest(), disk_mb=4, inputs=[(file_input("/big", writable=True), blob)])
    assert report.outcome.kind is OutcomeKind.REJECTED
    assert "disk_mb" in (report.outcome.message or "")


def test_inputs_are_gone_after_the_attempt(bench: Bench, tmp_path: Path) -> None:
    blob = tmp_path / "blob"
    blob.write_text("b")
    assert notes(bench.run(Guest().open("in/a").report(), inputs=[(file_input("/in/a", writable=True), blob)])) == [OK]
    assert notes(bench.run(Guest().open("in/a").report())) == [NOENT]


def test_artifacts_come_back(bench: Bench) -> None:
    guest = Guest().create("out/a.txt", "alpha")
    guest.note("path_create_directory", FIRST, guest.text("out/sub")).create("out/sub/b", "beta")
    guest.note("path_symlink", guest.text("a.txt"), FIRST, guest.text("out/link"))
    report = bench.run(guest.create("elsewhere", "no").exit(3))
    assert report.outcome.exit_code == 3
    found = {file.path: (file.local.read_bytes(), file.bytes) for file in report.artifacts}
    assert found == {"a.txt": (b"alpha", 5), "sub/b": (b"beta", 4)}
    bench.runners.release((report.attempt, report.index))
    assert not report.artifacts[0].local.exists()


def test_artifacts_are_capped(bench: Bench) -> None:
    guest = Guest().create("out/a", "12345").create("out/b", "67890")
    report = bench.run(guest, output_bytes=7)
    assert report.outcome.kind is OutcomeKind.OUTPUT_LIMIT
    assert [file.path for file in report.artifacts] == ["a"]


def test_hostile_16_links_planted_in_out(bench: Bench) -> None:
    guest = Guest()
    for number, target in enumerate(("/etc/passwd", "../../io/stdout", "../modules", "..")):
        guest.note("path_symlink", guest.text(target), FIRST, guest.text(f"out/l{number}"))
    assert bench.run(guest).artifacts == []


def test_out_replaced_by_a_link_or_a_file(bench: Bench) -> None:
    guest = Guest()
    guest.note("path_rename", FIRST, guest.text("out"), FIRST, guest.text("was"))
    guest.note("path_symlink", guest.text("/"), FIRST, guest.text("out"))
    report = bench.run(guest)
    assert (report.outcome.exit_code, report.artifacts) == (0, [])
    assert bench.run(Guest().create("out/x", "y")).artifacts[0].path == "x"


def test_a_large_scratch_file_is_not_bound_by_the_output_limit(bench: Bench) -> None:
    copy = "(loop $m (drop (call $write (i32.load (i32.const 0)) (i32.const 0) (i32.const 65536)))"
    turn = "(br_if $m (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 64))))"
    guest = Guest().open("big", flags=CREATE, rights=WRITE_RIGHTS).do(copy + turn).report()
    assert notes(bench.run(guest, output_bytes=1000, disk_mb=1000)) == [OK]
