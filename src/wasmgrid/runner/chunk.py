"""A chunk, from its frame to its end: its tasks one after the other, each result on its way within milliseconds."""

from __future__ import annotations

import time

from wasmgrid.core.job import Stats
from wasmgrid.runner.capture import NOTHING
from wasmgrid.runner.cell import Cell
from wasmgrid.runner.frames import End, Run
from wasmgrid.runner.outbox import Outbox
from wasmgrid.runner.process import Processes
from wasmgrid.runner.program import Programs
from wasmgrid.runner.room import Room
from wasmgrid.runner.traps import Unrunnable, outcome_of
from wasmgrid.runner.watch import Watch, Watchdog


class Chunks:
    """Runs chunks one after the other; everything that they share, and nothing that one could leave to the next."""

    def __init__(self, watchdog: Watchdog, room: Room, outbox: Outbox) -> None:
        self._watchdog = watchdog
        self._room = room
        self._outbox = outbox
        self._programs = Programs()
        self._cell = Cell()

    def run(self, run: Run) -> bool:
        """Run what is not halted of `run`; whether another can follow on this runner."""
        outbox = self._outbox
        outbox.begin(run.attempt)
        try:
            program = self._programs.load(run.module, metered=run.metered)
            watch = Watch(run.attempt, run.limits, program.engine, self._cell, self._watchdog.lock)
            tasks = Processes(run, program, self._room, self._watchdog, watch)
        except (Unrunnable, UnicodeEncodeError) as error:
            self._refuse(run, error)
        else:
            self._watchdog.enter(watch)
            try:
                self._run_all(run, tasks)
            finally:
                self._watchdog.leave()
                self._room.leave()
        outbox.finish(idle=not self._room.spoiled)
        return not self._room.spoiled

    def _run_all(self, run: Run, tasks: Processes) -> None:
        outbox, cell, room, is_halted = self._outbox, self._cell, self._room, self._watchdog.is_halted
        for index in range(run.first, run.first + run.count):
            if is_halted(run.attempt) or room.spoiled:
                return
            end = tasks.run(index)
            cell.clear()
            outbox.add(end)
            outbox.flush_if_due()

    def _refuse(self, run: Run, error: Exception) -> None:
        outcome, now = outcome_of(error, None, run.limits), time.time()
        for index in range(run.first, run.first + run.count):
            self._outbox.add(End(index, outcome, NOTHING, NOTHING, [], Stats(), now, now))
