"""Frames of another protocol version: who is answered, and with which words, so that nobody waits for nothing."""

from __future__ import annotations

from wasmgrid import __version__
from wasmgrid.core import wire
from wasmgrid.fabric import subjects

_MOST_CHARACTERS = 500


def is_foreign(frame: bytes) -> bool:
    """Whether another version of the protocol made it (or it is a notice about that), as far as its first byte says."""
    return bool(frame) and frame[0] != wire.PROTOCOL_VERSION


def answer_to(frame: bytes, subject: str, reply: str) -> str:
    """Where its sender hears us: a worker on its own subject, others in the inbox that they named; empty: nowhere.

    A notice is never answered, or two sides would tell each other for ever.
    """
    if frame[:1] == wire.encode_notice("")[:1]:
        return ""
    return subjects.worker_of(subject) or (reply if reply.startswith(f"{subjects.INBOX}.") else "")


def notice(frame: bytes) -> bytes:
    """The answer to it."""
    return wire.encode_notice(
        f"the other side is wasmgrid {__version__} and speaks protocol version {wire.PROTOCOL_VERSION}, "
        f"this one speaks {frame[0]}; run the same wasmgrid version on every machine of a grid"
    )


def printable(text: str) -> str:
    """Words from elsewhere, fit for a terminal and a log."""
    return "".join(character for character in text[:_MOST_CHARACTERS] if character.isprintable())
