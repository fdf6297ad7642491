"""Which language a source is in, and which of its files is the main one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from wasmgrid.build.toolchains.language import Language
from wasmgrid.core.errors import InvalidField, LanguageUnknown

_LOOKED_AT_BYTES = 64 * 1024
_HINT = "say --language rust, c, cpp, go, zig, python, javascript, typescript, wat or wasm"


def infer_among(
    languages: Mapping[str, Language], files: Mapping[str, bytes], chosen: Language | None, entry: str | None
) -> tuple[str, str]:
    """(language, entry): `chosen` and `entry` where they are given, else by manifest, names and content, in turn."""
    if entry is not None and entry not in files:
        raise InvalidField(
            f"the entry {entry[:200]!r} is not among the files", hint=f"they are {_some(files)}", field="source.entry"
        )
    if chosen is None:
        chosen = _language(languages, files, entry)
    return chosen.name, entry if entry is not None else _entry(chosen, files)


def _language(languages: Mapping[str, Language], files: Mapping[str, bytes], entry: str | None) -> Language:
    if entry is not None:
        return _of_file(languages, entry, files[entry])
    for language in languages.values():
        if language.manifest in files:
            return language
    if len(files) == 1:
        return _of_file(languages, *next(iter(files.items())))
    named = [language for language in languages.values() if _with_suffix(language, files)]
    if {language.name for language in named} == {"c", "cpp"}:
        return languages["cpp"]  # one C++ file makes it a C++ program; its C files are compiled as C
    if {language.name for language in named} == {"javascript", "typescript"}:
        return languages["typescript"]
    if len(named) > 1:
        named = [language for language in named if _called_main(language, files)] or named
    if len(named) == 1:
        return named[0]
    if named:
        names = ", ".join(sorted(language.name for language in named))
        raise LanguageUnknown(
            f"the project has files of {names}", hint="name its main file: --entry", field="source.entry"
        )
    raise LanguageUnknown(f"no file's name tells the language ({_some(files)})", hint=_HINT, field="source.language")


def _of_file(languages: Mapping[str, Language], path: str, content: bytes) -> Language:
    for language in languages.values():
        if _has_suffix(language, path) or path.rpartition("/")[2] == language.manifest:
            return language
    if content.startswith(b"\0asm"):
        return languages["wasm"]
    text = _text(content)
    for language in languages.values():
        if language.looks_like(text):
            return language
    raise LanguageUnknown(
        f"neither the name nor the content of {path[:200]!r} tells its language", hint=_HINT, field="source.language"
    )


def _entry(language: Language, files: Mapping[str, bytes]) -> str:
    if language.manifest is not None and language.manifest in files:
        return language.manifest
    if len(files) == 1:
        return next(iter(files))
    candidates = _candidates(language, files)
    for wanted in language.entries:
        found = [path for path in candidates if path.rpartition(".")[0] == wanted]
        if len(found) == 1:
            return found[0]
    mains = [path for path in candidates if language.main(_text(files[path]))]
    if len(mains or candidates) == 1:
        return (mains or candidates)[0]
    if not candidates:
        raise LanguageUnknown(f"the project has no {language.name} file ({_some(files)})", field="source.language")
    raise LanguageUnknown(
        f"which file is the main one? {_some(mains or candidates)}", hint="name it: --entry", field="source.entry"
    )


def _called_main(language: Language, files: Mapping[str, bytes]) -> bool:
    return any(path.rpartition(".")[0] in language.entries for path in _with_suffix(language, files))


def _candidates(language: Language, files: Mapping[str, bytes]) -> list[str]:
    """The files that could be the main one; a C++ program's may be C."""
    return sorted([*_with_suffix(language, files), *(path for path in files if path.endswith(language.also))])


def _with_suffix(language: Language, paths: Iterable[str]) -> list[str]:
    return sorted(path for path in paths if _has_suffix(language, path))


def _has_suffix(language: Language, path: str) -> bool:
    return path.endswith(language.suffixes)


def _text(content: bytes) -> str:
    return content[:_LOOKED_AT_BYTES].decode("utf-8", "replace")


def _some(paths: Iterable[str]) -> str:
    names = sorted(paths)
    return ", ".join(name[:80] for name in names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
