"""Stages 3 and 4, pure: which task goes to which worker, and why one does not.

Events in, placements out; no I/O, clock, dice or asyncio. `queue` orders what waits, `pool` knows what is free,
`scheduler` joins them, `explain` says why not.
"""
