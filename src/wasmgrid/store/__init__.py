"""The store stage: what must outlive every process. SQL for the rows, fsynced files by digest for the bytes."""

from wasmgrid.store.store import Store

__all__ = ["Store"]
