"""Property tests here are many and quick; a busy machine is no reason to fail one."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("core", max_examples=60, deadline=None)
settings.load_profile("core")
