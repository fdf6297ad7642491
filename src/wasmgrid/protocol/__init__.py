"""The conversation between leader and agents, pure: who holds which attempt, and when a result counts.

Both halves are `handle(event, now) -> commands`. `now` is a monotonic clock in seconds; wall times are data for people
and are never compared. The same code runs under the real loops (`control/`, `worker/agent.py`) and the simulator.
"""
