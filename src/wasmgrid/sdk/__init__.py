"""Stage 1, the client's half: every API call described once, and a sync and an async client that send them.

Imports `core` only. Light: the standard library and msgspec; httpx is loaded by `AsyncClient` alone.
"""
