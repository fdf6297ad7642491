"""wasmgrid: a distributed WebAssembly runtime. Source or a .wasm in; output, statistics and the module out."""

__version__ = "0.1.0"
