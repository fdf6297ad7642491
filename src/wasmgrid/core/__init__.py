"""Nouns of the grid, pure: what a job, a result, a limit and a worker are. No I/O, clock, dice or asyncio.

Every stage speaks in these; nothing here imports another wasmgrid package.
"""
