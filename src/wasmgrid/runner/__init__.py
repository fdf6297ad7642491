"""Stage 5, run, the child's side: one confined process that runs guests, one attempt at a time.

`python -m wasmgrid.runner` is started by `worker.runners`; nothing else speaks to it. It imports as little as it can.
"""
