"""What one attempt may use, and the operator's maximum."""

from __future__ import annotations

import msgspec

from wasmgrid.core.errors import InvalidField

MB = 1 << 20

DEFAULT_CPUS = 1.0
DEFAULT_MEMORY_MB = 1000
DEFAULT_DISK_MB = 1000
DEFAULT_TIME_LIMIT_S = 600.0
DEFAULT_OUTPUT_LIMIT_BYTES = 16 * MB
WASM32_MEMORY_MB = 4096  # a 32-bit guest addresses no more


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The exact caps of one attempt.

    `memory_mb` caps the guest's linear memory, `wall_s` and `cpu_s` (None: no cap) its time, `output_bytes` each of
    stdout, stderr and the sum of `/out`, `disk_mb` its scratch, `fuel` (None: unmetered) its instructions.
    """

    memory_mb: int = DEFAULT_MEMORY_MB
    wall_s: float = DEFAULT_TIME_LIMIT_S
    cpu_s: float | None = None
    output_bytes: int = DEFAULT_OUTPUT_LIMIT_BYTES
    disk_mb: int = DEFAULT_DISK_MB
    fuel: int | None = None
    truncate_output: bool = False


class Ceiling(msgspec.Struct, frozen=True, kw_only=True):
    """The most that any one request may ask for; what is over it is refused at submission (422)."""

    cpus: float = 1024.0
    memory_mb: int = 1 << 20
    disk_mb: int = 1 << 20
    gpus: int = 64
    time_limit_s: float = 7 * 86400.0
    output_limit_bytes: int = 1 << 30
    source_bytes: int = 64 * MB
    source_files: int = 10_000
    module_bytes: int = 128 * MB
    input_bytes: int = 1 << 30
    stdin_bytes: int = 16 * MB
    retries: int = 100
    tasks: int = 10_000_000

    def check(self, field: str, value: float | None) -> None:
        """Raise `InvalidField` where `value` of the request key `field` is over the ceiling."""
        most = getattr(self, field)
        if value is not None and value > most:
            raise InvalidField(f"{field} is {value}, this grid allows at most {most}", field=field)
