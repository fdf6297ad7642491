"""Finding functions in a text for people, and a C function's type in a mangled name."""

from __future__ import annotations

import time

import pytest

from wasmgrid.build.functions.mangled import function_type
from wasmgrid.build.functions.scan import functions, listed

NAME = "wasmgrid_typed"
RUST = """
//! fn commented() {}
/* fn also() {} */
const TEXT: &str = "fn quoted() {}";
pub(crate) async fn first<'a, T: Fn(i32) -> i32>(x: &'a str, mut table: HashMap<String, (i32, i32)>) -> Option<i32> {
    fn inner() {}
    let closing = '}';
}
impl Foo { fn method(&self) {} }
fn last() {}
"""
CPP = """
#define MACRO(x) x
namespace one::two {
extern "C" {
static inline int first(const std::map<int, int> &table, int (*call)(int, int), double xs[3] = nullptr) noexcept {
    if (call(1, 2)) { return sizeof(int); }
    while (true) { }
}
}
}
int declared(int);
struct S { void method() { } };
auto last() -> int { return 0; }
"""


def test_rust_functions_and_their_parameters() -> None:
    found = functions("rust", RUST.encode())
    assert [each.name for each in found] == ["first", "last"]
    assert found[0].parameters == ["x: &'a str", "mut table: HashMap<String, (i32, i32)>"]
    assert found[0].result == "-> Option<i32>"
    assert listed(found) == "first, last"


def test_cpp_functions_and_their_parameters() -> None:
    found = functions("cpp", CPP.encode())
    assert [each.name for each in found] == ["first", "last"]
    assert found[0].parameters == [
        "const std::map<int, int> &table",
        "int (*call)(int, int)",
        "double xs[3] = nullptr",
    ]


def test_a_long_list_is_cut() -> None:
    found = functions("go", b"".join(b"func f%d() {\n}\n" % number for number in range(50)))
    assert listed(found).endswith("f18, f19 and 30 more")
    assert listed([]) == "none"


@pytest.mark.parametrize("language", ["rust", "c", "cpp", "go", "zig"])
@pytest.mark.parametrize(
    "piece", ["(", "{", "fn f(", "int f(", "func f(", "/*", '"', "'", "a ", "f(a,", "<", "\\", "\n", "fn "]
)
def test_hostile_9_texts_cost_no_more_than_their_length(language: str, piece: str) -> None:
    started = time.process_time()
    functions(language, (piece * 40_000).encode())
    functions(language, b"\xff\x00" * 100_000)
    assert time.process_time() - started < 60  # the square of it would be hours


@pytest.mark.parametrize(
    ("mangled", "takes", "gives"),
    [
        ("PFiiiE", ["int", "int"], "int"),
        ("PFvvE", [], "void"),
        ("PFdPKdmE", ["const double *", "unsigned long"], "double"),
        ("PFPKcS0_PS0_PKS0_E", ["const char *", "const char **", "const char *const *"], "const char *"),
        ("PFv1PPA3_iE", None, ""),
        ("PFv1PS0_E", None, ""),
        ("PFvPFviEE", ["void (int) *"], "void"),
        ("PFv", None, ""),
        ("", None, ""),
        ("PFvS_E", None, ""),
        ("PFvSé_E", None, ""),
        ("PFv99xE", None, ""),
    ],
)
def test_a_c_functions_type(mangled: str, takes: list[str] | None, gives: str) -> None:
    whole = f"_Z{len(NAME)}{NAME}{mangled}"
    if takes is None:
        with pytest.raises(ValueError):  # noqa: PT011 - its text is the name
            function_type(whole, NAME)
        return
    made = function_type(whole, NAME)
    assert [each.name for each in made.takes or ()] == takes
    assert made.gives is not None
    assert made.gives.name == gives
