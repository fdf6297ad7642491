"""Every kind of value goes in and comes out as it was, in every language; what does not fit is named."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from tests.build.calls import Instance
from tests.build.echoes import ECHOES, C

from wasmgrid.build.builder import Built

Build = Callable[..., Built]

# place -> (name of the parameter, values that fit, values that do not), as they are written
VALUES: list[tuple[str, list[str], list[str]]] = [
    ("a", ["-128", "127", "0", "-0", " 5 "], ["128", "-129", "1.0", "1e1", "01", "+1", '"1"', "null", "", "x", "1 2"]),
    ("b", ["0", "18446744073709551615"], ["-1", "18446744073709551616", "1" + "0" * 400]),
    ("c", ["-9223372036854775808", "9223372036854775807"], ["9223372036854775808", "-9223372036854775809", "true"]),
    ("d", ["0.1", "-1.5", "16777216", '"NaN"', "3.4028235e38"], ["3.5e38", "NaN", "inf", '"inf"', "0x1p3"]),
    (
        "e",
        ["0.1", "1e300", "-0.0", "5e-324", '"Infinity"', '"-Infinity"', "12345678901234567890"],
        ["1e400", ".5", "1."],
    ),
    ("f", ["true", "false"], ["True", "1", "null"]),
    (
        "g",
        [
            '""',
            '"a\\u00e9\\ud83d\\ude00"',
            '"é😀"',
            '"\\"\\\\\\/\\b\\f\\n\\r\\t"',
            '"\\u0001\\u001f\\u007f"',
            json.dumps("x" * 99_999),
        ],
        ['"\\ud83d"', '"\\ude00\\ud83d"', '"\\x41"', '"a\nb"', "'a'", "a"],
    ),
    (
        "h",
        ["[]", "[1]", "[ 1.5 , -2 ]", '["NaN",1e-7]', json.dumps([0.5] * 5000)],
        ["[1,]", "[,]", "[[1]]", "[null]", "{}"],
    ),
    ("i", ["[]", "[[]]", "[[1,-2],[],[9007199254740993]]"], ["[1]", "[[1.5]]", "[[[]]]", "[" * 50_000]),
    ("j", ["[]", '["",",","]"]'], ['["a" "b"]', "[1]", '"a"']),
]
PLAIN = [good[0] for _, good, _ in VALUES]


def as_python(text: str) -> object:
    """What JSON says, with integers of any size."""
    return json.loads(text)


def same(given: object, wanted: object, *, narrow: bool = False) -> bool:
    """Equal, and an integer stays one; `narrow`: as far as 32 bits hold it."""
    if isinstance(wanted, float | int) and isinstance(given, float) and not isinstance(wanted, bool):
        return given == float(wanted) or (narrow and abs(given - wanted) <= abs(wanted) * 1e-6)
    if isinstance(wanted, list):
        return isinstance(given, list) and len(given) == len(wanted) and all(map(same, given, wanted))
    return type(given) is type(wanted) and given == wanted


@pytest.fixture(scope="module")
def modules() -> dict[str, bytes]:
    """Modules that were built already, by name."""
    return {}


@pytest.fixture
def instance_of(build: Build, modules: dict[str, bytes]) -> Callable[[str, dict[str, str], str], Instance]:
    """A new instance of a module, which is built once."""

    def made(name: str, files: dict[str, str], function: str) -> Instance:
        if name not in modules:
            built = build(files, function=function)
            assert built.module is not None, f"{built.outcome.message}\n{built.diagnostics}"
            assert built.diagnostics == ""
            modules[name] = built.module
        return Instance(modules[name])

    return made


def flat(value: object) -> list[object]:
    """The ten values that went in: Rust and C++ pack the later ones into a tuple of their own."""
    assert isinstance(value, list)
    return [*value[:-1], *value[-1]] if len(value) == 6 else value


@pytest.mark.parametrize("language", ECHOES)
def test_values_come_back_as_they_were(
    language: str, instance_of: Callable[[str, dict[str, str], str], Instance]
) -> None:
    instance = instance_of(language, ECHOES[language], "echo")
    for place, (_, fitting, _) in enumerate(VALUES):
        for text in fitting:
            answer = instance.call("[" + ",".join([*PLAIN[:place], text, *PLAIN[place + 1 :]]) + "]")
            assert answer.startswith("="), (text[:99], answer[:300])
            given = flat(as_python(answer[1:]))[place]
            assert same(given, as_python(text), narrow=place == 3), (text[:99], answer[:300])


@pytest.mark.parametrize("language", ECHOES)
def test_values_that_do_not_fit_are_named(
    language: str, instance_of: Callable[[str, dict[str, str], str], Instance]
) -> None:
    instance = instance_of(language, ECHOES[language], "echo")
    for place, (name, _, misfits) in enumerate(VALUES):
        for text in misfits:
            answer = instance.call("[" + ",".join([*PLAIN[:place], text, *PLAIN[place + 1 :]]) + "]")
            named = f"?argument {place + 1} ({name}): "
            told = answer.startswith((named, f"?argument {place + 2} (", "?arguments: 10 wanted, "))
            assert told, (text[:99], answer[:300])
            assert len(answer) < 900
            assert f"; it is echo({VALUES[0][0]}: " in answer


@pytest.mark.parametrize("language", ECHOES)
def test_words_of_a_command_line(language: str, instance_of: Callable[[str, dict[str, str], str], Instance]) -> None:
    instance = instance_of(language, ECHOES[language], "echo")
    words = ["-1", "2", "3", "NaN", "-Infinity", "true", 'as "it" \\is', "[1]", "[[2]]", '["q"]']
    answer = instance.call(json.dumps({"argv": words}))
    expected: list[object] = [-1, 2, 3, "NaN", "-Infinity", True, words[6], [1.0], [[2]], ["q"]]
    assert answer.startswith("=")
    assert flat(as_python(answer[1:])) == expected
    assert instance.call(json.dumps({"argv": ["x", *words[1:]]})).startswith("?argument 1 (a): ")
    assert ", not x; it is echo(" in instance.call(json.dumps({"argv": ["x", *words[1:]]}))
    assert instance.call(json.dumps({"argv": words[:3]})).startswith("?arguments: 10 wanted, 3 given; it is")
    assert instance.call(json.dumps({"argv": [*words, "y"]})).startswith("?arguments: 10 wanted, more given; it is")
    assert instance.call('{"argv":[1]}').startswith("?a call's argv is a JSON array of strings; it is")


@pytest.mark.parametrize("language", ECHOES)
def test_hostile_53_calls_that_are_no_calls(
    language: str, instance_of: Callable[[str, dict[str, str], str], Instance]
) -> None:
    instance = instance_of(language, ECHOES[language], "echo")
    whole = "[" + ",".join(PLAIN) + "]"
    assert instance.call(whole).startswith("=")
    for call in ("", " ", "x", "{", '{"argv"', '{"argv":', "{}", "null", "[" * 100_000, '{"x":[]}', whole + "x", "\0"):
        assert instance.call(call).startswith("?"), call[:99]
    for end in range(0, len(whole), 7):
        assert instance.call(whole[:end]).startswith("?")
    for text in (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82"):
        answer = instance.raw(whole.encode().replace(b'""', b'"' + text + b'"', 1))
        assert answer.startswith(b"?argument 7 (g): ")
        assert answer.decode()  # an answer is UTF-8, whatever a call is
    huge = whole.replace('""', '"' + "y" * 3_000_000 + '"', 1)
    before = instance.pages()
    for _ in range(5):
        assert len(instance.call(huge)) > 3_000_000
    grown = instance.pages()
    for _ in range(5):
        assert len(instance.call(huge)) > 3_000_000
    assert instance.call(whole).startswith("=")
    assert instance.pages() - before < 1000
    assert instance.pages() == grown or language == "go"  # Go collects when it likes


@pytest.mark.parametrize("place", [place for place in range(10) if VALUES[place][0] != "i"])
def test_c_has_a_function_per_kind(place: int, instance_of: Callable[[str, dict[str, str], str], Instance]) -> None:
    name, fitting, misfits = VALUES[place]
    instance = instance_of(f"c {name}", {"echo.c": C}, name)
    for text in fitting:
        answer = instance.call(f"[{text}]")
        assert answer.startswith("="), answer[:300]
        assert same(as_python(answer[1:]), as_python(text), narrow=place == 3), answer[:300]
    for text in misfits:
        answer = instance.call(f"[{text}]")
        assert answer.startswith(("?argument 1 (", "?arguments: 1 wanted, ")), (text, answer[:300])
