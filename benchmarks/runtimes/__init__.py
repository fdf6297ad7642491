"""Which runtime should run the guests: `python -m benchmarks.runtimes`; docs/adr/0022 draws the conclusion.

Every runtime runs the same three programs, built by the project's own toolchains, in a process and an environment of
its own. What each probe prints is one line of JSON (`protocol.report`).
"""
