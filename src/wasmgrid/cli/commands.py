"""What can be typed: each command, the module that it is in and what it does, in the groups and order of the help."""

from __future__ import annotations

# title -> name -> (module of `cli`, what it does). The command is the module's function of that name, `-` as `_`.
GROUPS: dict[str, dict[str, tuple[str, str]]] = {
    "Programs": {
        "run": ("submitting", "Run a program: its output is yours, its exit code too."),
        "submit": ("submitting", "Submit a program and print the job's id."),
        "init": ("init", "Write a small program and a job file to begin with."),
        "dev": ("dev", "Run a program again each time that it is saved."),
        "build": ("building", "Compile a program to a .wasm and run nothing."),
    },
    "Jobs": {
        "jobs": ("jobs", "List jobs, newest first."),
        "status": ("status", "Show jobs."),
        "wait": ("status", "Wait for the end of jobs."),
        "logs": ("logs", "Print what jobs wrote."),
        "why": ("jobs", "Say why a job is not running."),
        "cancel": ("jobs", "Cancel jobs."),
        "rerun": ("rerunning", "Run jobs, or their failed tasks, again."),
        "tasks": ("tasks", "List the tasks of a job."),
        "results": ("tasks", "Print the results of all tasks as lines of JSON."),
        "artifacts": ("fetching", "List or download the files that jobs left in /out."),
        "wasm": ("fetching", "Download the .wasm that a job ran."),
        "repro": ("repro", "Make a folder that runs a job again under any WASI runtime."),
        "delete": ("jobs", "Forget finished jobs and what they left."),
    },
    "Grid": {
        "up": ("grid", "Start a grid on this machine."),
        "down": ("grid", "Stop the grid on this machine."),
        "top": ("top", "Watch the grid: workers, queue, running jobs, rates."),
        "dashboard": ("dashboard", "Sign a browser in to the dashboard."),
        "server": ("grid", "Start a server without a worker."),
        "worker": ("working", "Start a worker that joins a grid."),
        "builder": ("working", "Start a worker that only compiles."),
        "mcp": ("mcp", "Offer the grid to an AI agent as tools that run code."),
    },
    "Pool": {
        "workers": ("pool", "List the workers."),
        "drain": ("pool", "Let workers finish what they hold, and go."),
        "cordon": ("pool", "Give workers nothing new."),
        "uncordon": ("pool", "Give workers tasks again."),
        "join-command": ("joining", "Print the line to paste on another machine, which then joins."),
        "credential": ("credentials", "Make, list and revoke what workers and servers join with."),
        "cluster": ("cluster", "Write the files of a grid on several machines."),
    },
    "Upkeep": {
        "toolchain": ("toolchains", "List, install and check toolchains on this machine."),
        "completion": ("completion", "Print what teaches your shell to complete."),
        "doctor": ("doctor", "Check this machine, and say what to do about what is missing."),
        "bench": ("bench", "Measure this grid: latency, and tasks and calls a second."),
        "prune": ("admin", "Remove old results, builds and files."),
        "version": ("admin", "Print the versions of client and server."),
    },
}
COMMANDS = {name: entry for group in GROUPS.values() for name, entry in group.items()}
