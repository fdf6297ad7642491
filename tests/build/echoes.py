"""One function per language that gives back what it was given: every kind of value, through every entry."""

from __future__ import annotations

RUST = """\
//! A file may begin with words about itself.
#![forbid(unsafe_code)]

type Rows = Vec<Vec<i64>>;

fn echo(a: i8, b: u64, c: i64, d: f32, e: f64, f: bool, g: &str, h: Vec<f64>, i: Rows, j: &[String])
    -> (i8, u64, i64, f32, f64, (bool, String, Vec<f64>, Rows, Vec<String>)) {
    (a, b, c, d, e, (f, g.to_owned(), h, i, j.to_vec()))
}
"""

CPP = """\
#include <cstdint>
#include <string>
#include <tuple>
#include <vector>
#define N 3  // macros of a user's: of no consequence
#define read broken
using namespace std;
typedef vector<vector<int64_t>> Rows;

static tuple<int8_t, uint64_t, int64_t, float, double, tuple<bool, string, vector<double>, Rows, vector<string>>>
echo(int8_t a, uint64_t b, int64_t c, float d, double e, bool f, const string &g, vector<double> h, const Rows &i,
     vector<string> j) {
    return {a, b, c, d, e, {f, g, h, i, j}};
}
"""

GO = """\
package main

type Rows [][]int64

func echo(a int8, b uint64, c int64, d float32, e float64, f bool, g string, h []float64, i Rows, j []string) (
	int8, uint64, int64, float32, float64, bool, string, []float64, Rows, []string) {
	return a, b, c, d, e, f, g, h, i, j
}
"""

ZIG = """\
const Rows = []const []const i64;
const Texts = []const []const u8;
const All = struct { i8, u64, i64, f32, f64, bool, []const u8, []const f64, Rows, Texts };

fn echo(a: i8, b: u64, c: i64, d: f32, e: f64, f: bool, g: []const u8, h: []const f64, i: Rows, j: Texts) All {
    return .{ a, b, c, d, e, f, g, h, i, j };
}
"""

# C gives one value, so it has a function per kind; a list that it may change comes back.
C = """\
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
typedef double real;
int8_t a(int8_t x) { return x; }
uint64_t b(uint64_t x) { return x; }
int64_t c(int64_t x) { return x; }
float d(float x) { return x; }
real e(real x) { return x; }
bool f(bool x) { return x; }
const char *g(const char *x) { return x; }
void h(real *xs, size_t n) { (void)xs, (void)n; }
static void j(const char **words, int n) { (void)words, (void)n; }
"""

ECHOES = {"rust": {"echo.rs": RUST}, "cpp": {"echo.cpp": CPP}, "go": {"echo.go": GO}, "zig": {"echo.zig": ZIG}}
