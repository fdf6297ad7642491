"""Rust: a trait over `Fn` finds the types, in a module of the user's own crate, so that it sees what is private."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from wasmgrid.build.functions import explain
from wasmgrid.build.functions.scan import functions
from wasmgrid.build.functions.wrap import Unsupported, Wanted, beside, followed, template

_UNSUPPORTED = re.compile(
    r"the trait bound `([^`\n]{1,500}): (?:\w+::)*(Argument|Value|Answer|Outcome)` is not satisfied"
)
_MISSING = re.compile(r"error\[E0(?:425|432|433|423|603)\]")


def wrap(wanted: Wanted) -> Mapping[str, bytes]:
    """The user's file ends with one more line, which names a module in a file of its own."""
    if "Cargo.toml" in wanted.files or wanted.entry.endswith("Cargo.toml"):
        raise Unsupported(
            "functions of a cargo project cannot be called: give the file that holds it, without its Cargo.toml"
        )
    path = beside(wanted.entry, "entry.rs")
    name = path.rpartition("/")[2]
    line = f'#[allow(warnings)] #[path = "{name}"] mod {name.removesuffix(".rs")};'
    return {
        **wanted.files,
        wanted.entry: followed(wanted.files[wanted.entry], line),
        path: _module(wanted).encode(),
    }


def _module(wanted: Wanted) -> str:
    text = template("entry.rs").decode()
    if _edition_2024(wanted):
        text = text.replace("#[no_mangle]", "#[unsafe(no_mangle)]").replace('\nextern "C" {', '\nunsafe extern "C" {')
    names = json.dumps(_parameters(wanted), ensure_ascii=False)
    return text + (
        f'\nconst NAME: &str = "{wanted.name}";\n'
        f"const PARAMETERS: &[&str] = &{names};\n"
        f"fn run(input: &[u8], to: &mut Vec<u8>) {{ perform(&super::{wanted.name}, input, to) }}\n"
        f"fn signature() -> String {{ sign(&super::{wanted.name}) }}\n"
    )


def _edition_2024(wanted: Wanted) -> bool:
    return "--edition=2024" in wanted.flags


def _parameters(wanted: Wanted) -> list[str]:
    """Their names, where the text tells them plainly."""
    found = [each for each in functions("rust", wanted.files[wanted.entry]) if each.name == wanted.name]
    names = [part.partition(":")[0].strip().removeprefix("mut ") for part in found[0].parameters] if found else []
    return names if all(re.fullmatch(r"\w{1,100}", name) for name in names) else []


def why(wanted: Wanted, said: str) -> str:
    """Why the function of a file that is itself in order cannot be called."""
    unsupported = _UNSUPPORTED.search(said)
    if unsupported is not None:
        return explain.unsupported("rust", wanted, unsupported[1], result=unsupported[2] in {"Answer", "Outcome"})
    if _MISSING.search(said):
        return explain.missing("rust", wanted)
    return explain.unclear("rust", wanted)
