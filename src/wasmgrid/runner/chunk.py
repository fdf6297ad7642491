"""A chunk, from its frame to its end: its tasks one after the other, each result on its way within milliseconds."""

from __future__ import annotations

import time

from wasmgrid.core.job import Stats
from wasmgrid.runner.calls import Calls
from wasmgrid.runner.capture import NOTHING
from wasmgrid.runner.cell import Cell
from wasmgrid.runner.frames import End, Run
from wasmgrid.runner.outbox import Outbox
from wasmgrid.runner.process import Processes
from wasmgrid.runner.program import Program, Programs
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
        self._calls = Calls(room, watchdog, outbox)

    def run(self, run: Run) -> bool:
        """Run what is not halted of `run`; whether another can follow on this runner."""
        self._outbox.begin(run.attempt, run.hold_s)
        if run.function is None:
            self.rest()
        try:
            program = self._programs.load(
                run.module, metered=run.metered, serves=run.bundle is not None and run.function is not None
            )
            self._run(run, program)
        except (Unrunnable, UnicodeEncodeError) as error:
            self._refuse(run, error)
        self._outbox.finish(idle=not self._room.spoiled)
        return not self._room.spoiled

    def rest(self) -> None:
        """Nothing has come for a while: keep nothing of a guest."""
        self._calls.drop()

    def _run(self, run: Run, program: Program) -> None:
        watch = Watch(run.attempt, run.limits, program.engine, self._cell, self._watchdog.lock)
        processes = Processes(run, program, self._room, self._watchdog, watch) if run.function is None else None
        self._watchdog.enter(watch)
        try:
            if processes is None:
                self._calls.run(run, program, watch)
            else:
                self._run_all(run, processes)
        finally:
            self._watchdog.leave()
            self._cell.clear()
            self._room.leave()

    def _run_all(self, run: Run, processes: Processes) -> None:
        outbox, cell, room, is_halted = self._outbox, self._cell, self._room, self._watchdog.is_halted
        for index in range(run.first, run.first + run.count):
            if is_halted(run.attempt) or room.spoiled:
                return
            end = processes.run(index)
            cell.clear()
            outbox.add(end)
            if outbox.is_due():
                outbox.flush()

    def _refuse(self, run: Run, error: Exception) -> None:
        outcome, now = outcome_of(error, None, run.limits), time.time()
        for index in range(run.first, run.first + run.count):
            self._outbox.add(End(index, outcome, NOTHING, NOTHING, [], Stats(), now, now))
