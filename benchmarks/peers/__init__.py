"""The same modules with the same inputs through what else can run them: `python -m benchmarks peers`."""
