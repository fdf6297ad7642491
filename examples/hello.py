"""Greets each of its arguments, in the order of their lengths."""

import sys

for name in sorted(sys.argv[1:], key=len) or ["world"]:
    print(f"hello from Python, {name}!")
