"""`python -m wasmgrid` is `wasmgrid`."""

from __future__ import annotations

import sys

from wasmgrid.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
