"""Where the tasks of a runner run in turn: what each finds, what it leaves, and that the next one finds nothing of it.

A task that wrote nothing and touched no file costs one system call here: the output pipes and the scratch's
directories are watched through one poll.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import sys

import msgspec

from wasmgrid.core.limits import MB, Limits
from wasmgrid.core.outcome import Outcome, OutcomeKind
from wasmgrid.runner import scratch
from wasmgrid.runner.capture import Capture
from wasmgrid.runner.frames import SCRATCH, Left, Run, Stream
from wasmgrid.runner.traps import Unrunnable, output_limit

if sys.platform == "linux":
    from wasmgrid.runner import linux


class Room:
    """Both outputs and the scratch."""

    def __init__(self, stdout: Capture, stderr: Capture, *, sized_scratch: bool) -> None:
        """`sized_scratch`: the kernel holds it to `disk_mb`."""
        self.stdout, self.stderr = stdout, stderr
        self.spoiled = False  # whether the scratch could not be cleaned: this runner must end
        self._sized_scratch = sized_scratch
        self._laid_out: Run | None = None  # for whom the scratch holds directories now
        self._full: list[Capture] = []  # those with something in their pipes, as of the last look
        self._traces = select.poll()
        for output in (stdout, stderr):
            self._traces.register(output.descriptor, select.POLLIN)
        self._changes = _inotify()
        if self._changes is not None:
            self._traces.register(self._changes, select.POLLIN)
        scratch.wipe()
        self._watched = False  # whether every change in the scratch would be told
        self._watch([SCRATCH, *scratch.HOMES])

    def enter(self, run: Run) -> None:
        """A task of `run` comes next. Raises `Unrunnable` where its inputs have no room."""
        self.stdout.begin(run.limits.output_bytes)
        self.stderr.begin(run.limits.output_bytes)
        if self._laid_out is not run and (run.mounts or run.copies):
            try:
                self._lay_out(run)
            except OSError as error:
                message = f"the inputs could not be laid out in disk_mb={run.limits.disk_mb}: {error.strerror}"
                raise Unrunnable(message) from error

    def _lay_out(self, run: Run) -> None:
        self._laid_out, self._watched = run, False
        scratch.prepare(run)
        if run.copies and not self._sized_scratch and scratch.weigh() > run.limits.disk_mb * MB:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if not run.copies:  # a guest cannot change directories unseen; what is in copied files, it can
            self._watch(scratch.directories(run))

    def look(self) -> tuple[bool, bool]:
        """Of the task that ran: whether its pipes hold something, and whether it may have touched files."""
        self._full.clear()
        touched = not self._watched
        for descriptor, _ in self._traces.poll(0):
            if descriptor == self._changes:
                touched = True
            else:
                self._full.append(self.stdout if descriptor == self.stdout.descriptor else self.stderr)
        return bool(self._full), touched

    @property
    def is_silent(self) -> bool:
        """Whether nothing was taken in of what the task wrote."""
        return self.stdout.is_clean and self.stderr.is_clean

    def outputs(self, label: str) -> tuple[Stream, Stream]:
        """What the task wrote, as of the last look, with `label` before the names of files.

        The thread beside must not take anything in any more.
        """
        for output in self._full:
            output.pump()
        return self.stdout.finish(label), self.stderr.finish(label)

    def overflow(self, limits: Limits) -> Outcome | None:
        """How a task ends that wrote too much; None where it did not."""
        if limits.truncate_output or not (self.stdout.exceeded or self.stderr.exceeded):
            return None
        name, stream = ("stdout", self.stdout) if self.stdout.exceeded else ("stderr", self.stderr)
        if stream.failure:
            return output_limit(f"its {name} could not be kept past {stream.size} bytes: {stream.failure}")
        return output_limit(f"wrote more than {limits.output_bytes} bytes to {name}")

    def clear(self, label: str, limits: Limits, outcome: Outcome) -> tuple[list[Left], Outcome]:
        """Collect the artifacts and make the scratch as new; the outcome may become that they were too many."""
        if self._laid_out is None and scratch.is_clean():
            self._watch_again()
            return [], outcome
        artifacts: list[Left] = []
        try:
            artifacts = scratch.collect(label, limits.output_bytes)
        except scratch.TooMuch as excess:
            artifacts = excess.kept
            if outcome.kind is OutcomeKind.EXITED and not limits.truncate_output:
                outcome = output_limit(str(excess))
        except (OSError, RecursionError) as error:
            message = f"{outcome.message or 'ended'}; the files in /out could not be read: {error}"
            outcome = msgspec.structs.replace(outcome, message=message)
        self._wipe()
        return artifacts, outcome

    def leave(self) -> None:
        """The chunk is over: what was laid out for it goes."""
        if self._laid_out is not None and not self.spoiled:
            self._wipe()

    def _wipe(self) -> None:
        self._laid_out = None
        try:
            scratch.wipe()
        except (OSError, RecursionError):
            self.spoiled = True
        self._watch_again()

    def _watch_again(self) -> None:
        self._watch([SCRATCH, *scratch.HOMES])

    def _watch(self, directories: list[str]) -> None:
        if self._changes is None:
            return
        try:
            for directory in directories:
                linux.watch_directory(self._changes, directory)
            self._watched = True
        except OSError:
            self._watched = False  # then every task is looked after as if it had changed something
        with contextlib.suppress(BlockingIOError):
            while os.read(self._changes, 1 << 16):
                pass  # what was told until now is known


def _inotify() -> int | None:
    if sys.platform != "linux":
        return None
    try:
        return linux.inotify()
    except OSError:
        return None
