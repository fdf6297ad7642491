"""Stages 3 to 6 in motion: the leader's loop around the pure `protocol/` and `scheduling/`.

Decisions are made there; here are the clock, the sockets and the database.
"""

from wasmgrid.control.control import Control

__all__ = ["Control"]
