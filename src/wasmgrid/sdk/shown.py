"""A result as a REPL's line and as a notebook's HTML. Pure; nothing that a guest wrote can be more than text in it."""

from __future__ import annotations

from html import escape

from wasmgrid.core.printable import neutralised, one_line
from wasmgrid.core.units import format_bytes, format_ms
from wasmgrid.sdk.views import Job, Result

LINE_CHARS = 60  # of stdout
HTML_BYTES = 16 * 1024  # of each stream


def line(job: Job, task: Result | None, ended: str) -> str:
    """`<Result of job 12: exited(0) · run 5.00 s · cpu 1 ms · peak 1.1 MiB · worker w1 · stdout 'job done!'>`."""
    message = task.message if task is not None and not task.succeeded else None
    parts = [f"{_where(job, task)}: {ended}" + (f": {message}" if message else ""), *_facts(job, task)]
    for name in ("stdout", "stderr"):
        text = getattr(task, name) if task is not None else ""
        if text:
            parts.append(f"{name} {text[:LINE_CHARS]!r}" + ("..." if len(text) > LINE_CHARS else ""))
    if task is not None and task.return_value is not None:
        value = repr(task.return_value)
        parts.append(f"value {value[:LINE_CHARS]}" + ("..." if len(value) > LINE_CHARS else ""))
    return one_line(f"<Result of {' · '.join(parts)}>")


def html(job: Job, task: Result | None, ended: str, stdout: bytes, stderr: bytes) -> str:
    """A block with a head line, the message, the value, both streams and the files; colours are the notebook's."""
    ok = task.succeeded if task is not None else job.state == "succeeded"
    head = f"<b>{'✓' if ok else '✗'} {_text(f'{_where(job, task)}: {ended}')}</b>"
    facts = f"<span style='opacity:.7'> · {_text(' · '.join(_facts(job, task)))}</span>"
    parts = [f"<div>{head}{facts}</div>"]
    message = task.message if task is not None else job.state_reason
    if message:
        parts.append(f"<div>{_text(message)}</div>")
    if task is not None and task.return_value is not None:
        parts.append(_block("value", repr(task.return_value).encode()))
    parts += [_block(name, data) for name, data in (("stdout", stdout), ("stderr", stderr)) if data]
    if task is not None and task.artifacts:
        files = "".join(f"<li>{_text(f'{each.path} ({format_bytes(each.bytes)})')}</li>" for each in task.artifacts)
        parts.append(f"<div>artifacts</div><ul style='margin:0'>{files}</ul>")
    return "".join(parts)


def _where(job: Job, task: Result | None) -> str:
    named = f"job {job.id}" + (f" ({job.name})" if job.name else "")
    return named + (f" task {task.index}" if task is not None and job.is_array else "")


def _facts(job: Job, task: Result | None) -> list[str]:
    if task is None:
        counts = job.counts
        known = {"succeeded": counts.succeeded, "failed": counts.failed, "cancelled": counts.cancelled}
        return [f"{job.task_count:,} tasks", *(f"{count:,} {word}" for word, count in known.items() if count)]
    stats = task.stats
    facts = []
    if stats.build_ms:
        facts.append(f"compile {format_ms(stats.build_ms)}")
    if stats.wall_ms:
        facts += [f"run {format_ms(stats.wall_ms)}", f"cpu {format_ms(stats.cpu_ms)}"]
    if stats.peak_memory_bytes:
        facts.append(f"peak {format_bytes(stats.peak_memory_bytes)}")
    return [*facts, f"worker {task.worker_id}"] if task.worker_id else facts


def _block(name: str, data: bytes) -> str:
    text = data[:HTML_BYTES].decode("utf-8", "replace")
    more = f"\n... {format_bytes(len(data) - HTML_BYTES)} more" if len(data) > HTML_BYTES else ""
    style = "margin:.2em 0 .5em 1em;max-height:20em;overflow:auto"
    return f"<div style='opacity:.7'>{name}</div><pre style='{style}'>{_text(text)}{more}</pre>"


def _text(text: str) -> str:
    return escape(neutralised(text), quote=True)
