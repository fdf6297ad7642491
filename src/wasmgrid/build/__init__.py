"""Stage 2, building: source in, a WebAssembly module out. Every compiler runs in a sandbox.

`toolchains` says how each language becomes wasm; `project` and `wasm` judge what came in and what came out without any
tool; `provision` installs toolchains; `sandbox` holds a compiler; `builder` joins them. What the server needs at
submission (`toolchains`, `project`, `wasm`) imports nothing heavy.
"""
