"""The grid as tools for agents: an MCP server over stdio (https://modelcontextprotocol.io), started by `wasmgrid mcp`.

Stage 1, beside the terminal: what an agent asks for becomes a request under ceilings of its own, what comes back is
bounded, and a failure is an answer. Imports `core`, `home` and `sdk`; the package `mcp`, which not everybody has
installed, is loaded by `server` alone.
"""
