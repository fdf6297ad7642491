"""Stage 5, run, the worker's side: what it has, its runners, its module cache, and the agent that speaks for them."""
