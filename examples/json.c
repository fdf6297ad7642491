/* A JSON pretty-printer from stdin to stdout. It holds one character and its own depth, so its input may be of any size.
 *
 *     wasmgrid run examples/json.c --stdin examples/crab.json
 *
 * What is not JSON is told on stderr with its line, and the exit code is 1. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_DEPTH = 100 }; /* a guest's stack ends, too: say so before it does */

static int next, line = 1;

static void advance(void) {
    line += next == '\n';
    next = getchar();
}

static void fail(const char *what) {
    fflush(stdout);
    fprintf(stderr, "line %d: %s\n", line, what);
    exit(1);
}

static void skip_space(void) {
    while (next == ' ' || next == '\t' || next == '\r' || next == '\n') advance();
}

static void echo(void) {
    putchar(next);
    advance();
}

static void expect(int wanted, const char *what) {
    if (next != wanted) fail(what);
    echo();
}

static void break_line(int depth) { printf("\n%*s", 2 * depth, ""); }

static void string(void) {
    expect('"', "a string was expected");
    while (next != '"') {
        if (next == EOF || (unsigned)next < ' ') fail("a string does not end");
        if (next == '\\') echo();
        if (next == EOF) fail("a string does not end");
        echo();
    }
    echo();
}

static void digits(void) {
    if (!isdigit(next)) fail("a digit was expected");
    while (isdigit(next)) echo();
}

static void number(void) {
    if (next == '-') echo();
    if (next == '0') echo();
    else digits();
    if (next == '.') { echo(); digits(); }
    if (next == 'e' || next == 'E') {
        echo();
        if (next == '+' || next == '-') echo();
        digits();
    }
}

static void word(const char *wanted) {
    for (; *wanted; wanted++) expect(*wanted, "true, false or null was expected");
}

static void value(int depth);

static void pair(int depth) {
    string();
    skip_space();
    expect(':', "a colon was expected");
    putchar(' ');
    skip_space();
    value(depth);
}

/* [1, 2] or {"a": 1}: `item` prints what stands between the commas. */
static void group(int end, void (*item)(int), int depth) {
    if (depth > MOST_DEPTH) fail("this is too deep");
    echo();
    skip_space();
    if (next != end) {
        for (;;) {
            break_line(depth);
            item(depth);
            skip_space();
            if (next != ',') break;
            echo();
            skip_space();
        }
        break_line(depth - 1);
    }
    expect(end, end == ']' ? "a comma or ] was expected" : "a comma or } was expected");
}

static void value(int depth) {
    switch (next) {
    case '{': group('}', pair, depth + 1); break;
    case '[': group(']', value, depth + 1); break;
    case '"': string(); break;
    case 't': word("true"); break;
    case 'f': word("false"); break;
    case 'n': word("null"); break;
    default:
        if (next != '-' && !isdigit(next)) fail("a value was expected");
        number();
    }
}

int main(void) {
    advance();
    skip_space();
    value(0);
    skip_space();
    if (next != EOF) fail("there is more after the value");
    putchar('\n');
}
