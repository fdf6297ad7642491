"""Stages 3 and 4, pure: which task goes to which worker, and why one does not.

Events in (`events`), placements out; no I/O, clock, dice or asyncio. `scheduler` takes events and answers; `placing`
looks at what changed and `pouring` places much at once. What waits: `queue` (runs of tasks), `groups` (as vectors),
`shares` (whose turn it is). What there is: `pool` (as vectors), `columns`, `gpus`, `modules`, `running`. `matching` and
`ranking` say which worker could and which should, `reservation` keeps room for what does not fit yet, `explain` says
why not.
"""
