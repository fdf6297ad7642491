"""Makes a plain function in a user's file callable: what is generated beside it, and what its author is told.

Each language has a file here (what is added, how its compiler's refusals read) and a text in that language, in
which the language itself finds out the types. The way a call travels: docs/functions.md.
"""
