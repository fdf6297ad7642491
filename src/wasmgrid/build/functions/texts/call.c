/* The way a call goes in and out of a C or C++ module: JSON, memory, and the functions that a host calls. */
#pragma clang diagnostic ignored "-Weverything"
#include "wasmgrid_call.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wasi/api.h>

#define KEPT_BYTES ((size_t)1 << 20)

struct reader {
    const unsigned char *bytes;
    size_t size, at;
};

static struct reader from;       /* what is read now: the call, or a word of it */
static struct reader call;       /* the call, while a word is read */
static bool argv_mode, begun;
static size_t opened;

/* ---- memory: the input and the output are kept between calls unless they are huge; texts live in blocks */

static unsigned char *input;
static size_t input_size;
static char *output;
static size_t output_size, output_used;
static bool output_failed;

struct block {
    struct block *next;
    size_t size, used;
    _Alignas(16) char bytes[];
};
static struct block *blocks;

static void forget(void) {
    while (blocks != NULL && (blocks->next != NULL || blocks->size > KEPT_BYTES)) {
        struct block *next = blocks->next;
        free(blocks);
        blocks = next;
    }
    if (blocks != NULL)
        blocks->used = 0;
}

void *wasmgrid_memory(size_t size) {
    size = (size + 15) & ~(size_t)15;
    if (blocks == NULL || blocks->size - blocks->used < size) {
        size_t wanted = size < 4096 ? 4096 : size;
        struct block *made = wanted < SIZE_MAX / 2 ? malloc(sizeof *made + wanted) : NULL;
        if (made == NULL)
            return NULL;
        *made = (struct block){.next = blocks, .size = wanted};
        blocks = made;
    }
    void *found = blocks->bytes + blocks->used;
    blocks->used += size;
    return found;
}

bool wasmgrid_holds(const void *at) {
    for (const struct block *block = blocks; block != NULL; block = block->next)
        if ((const char *)at >= block->bytes && (const char *)at < block->bytes + block->size)
            return true;
    return (const unsigned char *)at >= input && (const unsigned char *)at < input + input_size;
}

/* ---- reading */

static void space(void) {
    while (from.at < from.size && strchr(" \n\r\t", from.bytes[from.at]) && from.bytes[from.at])
        from.at++;
}

static int peek(void) { return from.at < from.size ? from.bytes[from.at] : -1; }

static bool ended(void) {
    space();
    return from.at == from.size;
}

bool wasmgrid_eat(char byte) {
    if (peek() != byte) {
        space();
        if (peek() != byte)
            return false;
    }
    from.at++;
    return true;
}

bool wasmgrid_literal(const char *text) {
    space();
    size_t size = strlen(text);
    if (from.size - from.at < size || memcmp(from.bytes + from.at, text, size) != 0)
        return false;
    from.at += size;
    return true;
}

bool wasmgrid_bool(bool *value) {
    *value = wasmgrid_literal("true");
    return *value || wasmgrid_literal("false");
}

static size_t digits(void) {
    size_t begin = from.at;
    while (peek() >= '0' && peek() <= '9')
        from.at++;
    return from.at - begin;
}

/* Whether a number of JSON's grammar stands here, from `begin` to where reading is then; whether it is an integer. */
static bool number(size_t *begin, bool *integer) {
    space();
    *begin = from.at;
    *integer = true;
    if (peek() == '-')
        from.at++;
    bool leading = peek() == '0';
    size_t whole = digits();
    bool good = whole == 1 || (whole > 1 && !leading);
    if (peek() == '.') {
        from.at++;
        *integer = false;
        good &= digits() > 0;
    }
    if (peek() == 'e' || peek() == 'E') {
        from.at++;
        *integer = false;
        if (peek() == '+' || peek() == '-')
            from.at++;
        good &= digits() > 0;
    }
    return good;
}

static bool integer(bool *negative, unsigned long long *magnitude) {
    size_t at;
    bool whole;
    if (!number(&at, &whole) || !whole)
        return false;
    *negative = from.bytes[at] == '-';
    *magnitude = 0;
    for (at += *negative; at < from.at; at++) {
        unsigned digit = from.bytes[at] - '0';
        if (*magnitude > (UINT64_MAX - digit) / 10)
            return false;
        *magnitude = *magnitude * 10 + digit;
    }
    return true;
}

bool wasmgrid_signed(long long *value, long long least, long long most) {
    bool negative;
    unsigned long long magnitude;
    if (!integer(&negative, &magnitude))
        return false;
    if (magnitude > (negative ? 0 - (unsigned long long)least : (unsigned long long)most))
        return false;
    *value = (long long)(negative ? 0 - magnitude : magnitude);
    return true;
}

bool wasmgrid_unsigned(unsigned long long *value, unsigned long long most) {
    bool negative;
    return integer(&negative, value) && *value <= most && !(negative && *value != 0);
}

static bool special(double *value) {
    int quoted = peek() == '"';
    const struct { const char *text; double value; } known[] = {
        {"\"NaN\"", NAN}, {"\"Infinity\"", INFINITY}, {"\"-Infinity\"", -INFINITY}};
    for (int i = 0; i < 3; i++) {
        *value = known[i].value;
        if (quoted && wasmgrid_literal(known[i].text))
            return true;
        /* a word of a command line needs no quotes */
        size_t size = strlen(known[i].text) - 2;
        if (argv_mode && from.size == size && memcmp(from.bytes, known[i].text + 1, size) == 0) {
            from.at = size;
            return true;
        }
    }
    return false;
}

/* The characters of a number, with a NUL behind them. */
static bool number_text(char *small, size_t size, char **text) {
    size_t begin;
    bool whole;
    if (!number(&begin, &whole))
        return false;
    size_t length = from.at - begin;
    *text = length < size ? small : wasmgrid_memory(length + 1);
    if (*text == NULL)
        return false;
    memcpy(*text, from.bytes + begin, length);
    (*text)[length] = 0;
    return true;
}

bool wasmgrid_float(double *value) {
    char small[64], *text;
    space();
    if (special(value))
        return true;
    if (!number_text(small, sizeof small, &text))
        return false;
    *value = strtod(text, NULL);
    return isfinite(*value);
}

bool wasmgrid_float32(float *value) {
    char small[64], *text;
    double read;
    space();
    if (special(&read)) {
        *value = (float)read;
        return true;
    }
    if (!number_text(small, sizeof small, &text))
        return false;
    *value = strtof(text, NULL);
    return isfinite(*value);
}

static bool hex(unsigned *code) {
    *code = 0;
    for (int i = 0; i < 4; i++, from.at++) {
        int digit = peek();
        if (digit >= '0' && digit <= '9')
            digit -= '0';
        else if ((digit | 32) >= 'a' && (digit | 32) <= 'f')
            digit = (digit | 32) - 'a' + 10;
        else
            return false;
        *code = *code * 16 + digit;
    }
    return true;
}

static bool escaped(char **to) {
    static const char plain[] = "\"\"\\\\//b\bf\fn\nr\rt\t";
    int byte = peek();
    from.at++;
    if (byte != 'u') {
        for (int i = 0; plain[i]; i += 2)
            if (plain[i] == byte) {
                *(*to)++ = plain[i + 1];
                return true;
            }
        return false;
    }
    unsigned code, low;
    if (!hex(&code) || (code >= 0xdc00 && code < 0xe000))
        return false;
    if (code >= 0xd800 && code < 0xdc00) {
        if (from.size - from.at < 6 || memcmp(from.bytes + from.at, "\\u", 2) != 0)
            return false;
        from.at += 2;
        if (!hex(&low) || low < 0xdc00 || low > 0xdfff)
            return false;
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    char *at = *to;
    if (code < 0x80) {
        *at++ = (char)code;
    } else if (code < 0x800) {
        *at++ = (char)(0xc0 | code >> 6);
        *at++ = (char)(0x80 | (code & 63));
    } else {
        if (code < 0x10000) {
            *at++ = (char)(0xe0 | code >> 12);
        } else {
            *at++ = (char)(0xf0 | code >> 18);
            *at++ = (char)(0x80 | (code >> 12 & 63));
        }
        *at++ = (char)(0x80 | (code >> 6 & 63));
        *at++ = (char)(0x80 | (code & 63));
    }
    *to = at;
    return true;
}

/* How many bytes the UTF-8 character at `at` has; 0 where it is none. */
static size_t utf8(const unsigned char *at, size_t left) {
    unsigned lead = at[0];
    size_t size = lead < 0x80 ? 1 : lead >= 0xc2 && lead < 0xe0 ? 2 : lead >= 0xe0 && lead < 0xf0 ? 3 : lead >= 0xf0 && lead < 0xf5 ? 4 : 0;
    if (size == 0 || size > left)
        return 0;
    for (size_t i = 1; i < size; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    bool wrong = (lead == 0xe0 && at[1] < 0xa0) || (lead == 0xed && at[1] > 0x9f) || (lead == 0xf0 && at[1] < 0x90) ||
                 (lead == 0xf4 && at[1] > 0x8f);
    return wrong ? 0 : size;
}

/* A string where reading is; what it holds is never longer than how it is written. */
static bool quoted(const char **text, size_t *size) {
    if (!wasmgrid_eat('"'))
        return false;
    size_t end = from.at;
    while (end < from.size && from.bytes[end] != '"')
        end += from.bytes[end] == '\\' ? 2 : 1;
    if (end >= from.size)
        return false;
    char *made = wasmgrid_memory(end - from.at + 1), *to = made;
    if (made == NULL)
        return false;
    while (from.at < end) {
        unsigned char byte = from.bytes[from.at];
        if (byte == '\\') {
            from.at++;
            if (!escaped(&to))
                return false;
        } else if (byte < 0x20) {
            return false;
        } else {
            size_t length = utf8(from.bytes + from.at, end - from.at);
            if (length == 0)
                return false;
            memcpy(to, from.bytes + from.at, length);
            to += length;
            from.at += length;
        }
    }
    from.at = end + 1;
    *to = 0;
    *text = made;
    *size = (size_t)(to - made);
    return true;
}

bool wasmgrid_text(const char **text, size_t *size) {
    if (argv_mode && opened == 0 && from.at == 0) { /* a whole word, as it is */
        from.at = from.size;
        *text = (const char *)from.bytes;
        *size = from.size;
        return true;
    }
    return quoted(text, size);
}

/* ---- the answer */

void wasmgrid_put(const char *bytes, size_t size) {
    if (output_size - output_used < size) {
        size_t wanted = output_used + size < 512 ? 1024 : (output_used + size) * 2;
        char *made = realloc(output, wanted);
        if (made == NULL) {
            output_failed = true;
            return;
        }
        output = made;
        output_size = wanted;
    }
    memcpy(output + output_used, bytes, size);
    output_used += size;
}

static void put(const char *text) { wasmgrid_put(text, strlen(text)); }

static void putf(const char *format, ...) {
    char made[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(made, sizeof made, format, arguments);
    va_end(arguments);
    put(made);
}

void wasmgrid_answer(char mark) {
    output_used = 0;
    wasmgrid_put(&mark, 1);
}

void wasmgrid_put_unsigned(unsigned long long value) {
    char made[24], *at = made + sizeof made;
    do
        *--at = (char)('0' + value % 10);
    while (value /= 10);
    wasmgrid_put(at, (size_t)(made + sizeof made - at));
}

void wasmgrid_put_signed(long long value) {
    if (value < 0)
        put("-");
    wasmgrid_put_unsigned(value < 0 ? 0 - (unsigned long long)value : (unsigned long long)value);
}

/* Few digits, as most numbers have: the quotient of two exact integers is the number that these digits are read as. */
static bool put_plain(double value, bool narrow) {
    double power = 1;
    for (int digits = 1; digits <= 15; digits++) {
        power *= 10;
        double scaled = rint(value * power);
        if (fabs(scaled) >= 9007199254740992.0)
            return false;
        if (scaled / power != value && !narrow)
            continue;
        char made[32], *at = made + sizeof made - 1;
        unsigned long long left = (unsigned long long)fabs(scaled);
        *at = 0;
        for (int i = 0; i <= digits || left > 0; i++, left /= 10) {
            if (i == digits)
                *--at = '.';
            *--at = (char)('0' + left % 10);
        }
        if (value < 0)
            *--at = '-';
        if (narrow && strtof(at, NULL) != (float)value)
            continue;
        put(at);
        return true;
    }
    return false;
}

/* The shortest digits that are read as the same number again. */
static void put_float(double value, int least, int most, bool narrow) {
    if (!isfinite(value)) {
        put(isnan(value) ? "\"NaN\"" : value > 0 ? "\"Infinity\"" : "\"-Infinity\"");
        return;
    }
    if (value == (double)(long long)value && value < 1e15 && value > -1e15) {
        if (signbit(value) && value == 0)
            put("-");
        wasmgrid_put_signed((long long)value);
        put(".0");
        return;
    }
    if (fabs(value) >= 1e-5 && fabs(value) < 1e15 && put_plain(value, narrow))
        return;
    char made[40];
    for (int precision = least; precision <= most; precision++) {
        snprintf(made, sizeof made, "%.*g", precision, value);
        if (narrow ? strtof(made, NULL) == (float)value : strtod(made, NULL) == value)
            break;
    }
    put(made);
    if (strpbrk(made, ".e") == NULL)
        put(".0");
}

void wasmgrid_put_float(double value) { put_float(value, 15, 17, false); }
void wasmgrid_put_float32(float value) { put_float(value, 6, 9, true); }

/* What is no UTF-8 becomes U+FFFD: an answer always is. */
void wasmgrid_put_text(const char *text, size_t size) {
    const unsigned char *bytes = (const unsigned char *)text;
    put("\"");
    for (size_t at = 0, kept = 0; at <= size;) {
        size_t length = at < size ? utf8(bytes + at, size - at) : 0;
        if (length > 0 && bytes[at] >= 0x20 && bytes[at] != '"' && bytes[at] != '\\') {
            at += length;
            continue;
        }
        wasmgrid_put(text + kept, at - kept);
        if (at == size)
            break;
        if (length == 0)
            put("\xef\xbf\xbd");
        else if (bytes[at] == '\n')
            put("\\n");
        else if (bytes[at] < 0x20)
            putf("\\u%04x", bytes[at]);
        else
            putf("\\%c", bytes[at]);
        kept = ++at;
    }
    put("\"");
}

/* ---- arguments */

static void misfit_ends(void) {
    put("; it is ");
    put(wasmgrid_describe());
}

bool wasmgrid_open(unsigned place, unsigned count) {
    if (place == 0) {
        from = call;
        begun = false;
        opened = 0;
        argv_mode = false;
        bool array = wasmgrid_eat('[');
        argv_mode = !array && wasmgrid_eat('{') && wasmgrid_literal("\"argv\"") && wasmgrid_eat(':') && wasmgrid_eat('[');
        if (!array && !argv_mode) {
            wasmgrid_answer('?');
            put("a call is a JSON array of arguments");
            misfit_ends();
            return false;
        }
        call = from;
    }
    if (place == count)
        return true;
    from = call;
    bool more = begun ? wasmgrid_eat(',') : (space(), peek() != ']' && peek() != -1);
    begun = true;
    space();
    opened = from.at;
    if (!more) {
        wasmgrid_answer('?');
        putf("arguments: %u wanted, %u given", count, place);
        misfit_ends();
        return false;
    }
    if (argv_mode) {
        const char *word;
        size_t size;
        if (!quoted(&word, &size)) {
            wasmgrid_answer('?');
            put("a call's argv is a JSON array of strings");
            misfit_ends();
            return false;
        }
        call = from;
        from = (struct reader){.bytes = (const unsigned char *)word, .size = size};
        opened = 0;
    }
    return true;
}

/* How many bytes the value at `opened` has, well-formed or not; a word is one whole value. */
static size_t extent(void) {
    size_t at = opened, depth = 0;
    bool inside = false;
    for (; at < from.size && !argv_mode; at++) {
        unsigned char byte = from.bytes[at];
        if (inside && byte == '\\')
            at++;
        else if (byte == '"')
            inside = !inside;
        else if (!inside && byte == '[')
            depth++;
        else if (!inside && (byte == ',' || byte == ']') && depth == 0)
            break;
        else if (!inside && byte == ']')
            depth--;
    }
    return (argv_mode || at > from.size ? from.size : at) - opened;
}

bool wasmgrid_close(bool good, unsigned place, const char *wanted) {
    if (good && argv_mode)
        good = ended();
    if (good) {
        if (!argv_mode)
            call = from;
        return true;
    }
    wasmgrid_answer('?');
    putf("argument %u", place + 1);
    extern const char *const wasmgrid_names[];
    extern const unsigned wasmgrid_named;
    if (place < wasmgrid_named)
        putf(" (%.100s)", wasmgrid_names[place]);
    putf(": %.100s is wanted, ", wanted);
    size_t left = extent(), shown = 0;
    while (shown < left && shown < 40) {
        size_t length = utf8(from.bytes + opened + shown, left - shown);
        if (length == 0)
            break;
        shown += length;
    }
    put(left == 0 ? "and nothing is there" : "not ");
    wasmgrid_put((const char *)from.bytes + opened, shown);
    if (shown < left)
        put("...");
    misfit_ends();
    return false;
}

bool wasmgrid_end(unsigned count) {
    if (count == 0 && !wasmgrid_open(0, 0))
        return false;
    from = call;
    if (wasmgrid_eat(']') && (!argv_mode || wasmgrid_eat('}')) && ended())
        return true;
    wasmgrid_answer('?');
    putf("arguments: %u wanted, more given", count);
    misfit_ends();
    return false;
}

/* ---- what a host calls */

extern void __wasm_call_ctors(void);

static void begin(void) {
    static bool done;
    if (!done) {
        done = true;
        __wasm_call_ctors();
    }
}

static uint64_t packed(const void *bytes, size_t size) { return (uint64_t)(uintptr_t)bytes << 32 | size; }

static void answer(const unsigned char *bytes, size_t size) {
    output_failed = false;
    if (output_size > KEPT_BYTES) {
        free(output);
        output = NULL;
        output_size = 0;
    }
    call = (struct reader){.bytes = bytes, .size = size};
    wasmgrid_perform();
    forget();
    fflush(stdout);
    if (output_failed) {
        wasmgrid_answer('!');
        put("there is no memory for the answer");
    }
}

__attribute__((export_name("wasmgrid_alloc"))) void *wasmgrid_alloc(size_t size) {
    begin();
    if (size + 1 > input_size || (input_size > KEPT_BYTES && size < KEPT_BYTES)) {
        free(input);
        input_size = size < 1024 ? 1024 : size + 1;
        input = malloc(input_size);
        if (input == NULL)
            input_size = 0;
    }
    return input;
}

__attribute__((export_name("wasmgrid_call"))) uint64_t wasmgrid_call(const unsigned char *bytes, size_t size) {
    begin();
    answer(bytes, size);
    return packed(output, output_used);
}

__attribute__((export_name("wasmgrid_signature"))) uint64_t wasmgrid_signature(void) {
    begin();
    return packed(wasmgrid_describe(), strlen(wasmgrid_describe()));
}

/* As a program: the words of its command line are the arguments, and the value is printed. */
__attribute__((export_name("_start"))) void wasmgrid_start(void) {
    begin();
    size_t count = 0, size = 0;
    if (__wasi_args_sizes_get(&count, &size) != 0)
        exit(2);
    uint8_t **words = malloc((count + 1) * sizeof *words), *texts = malloc(size + 1);
    if (words == NULL || texts == NULL || __wasi_args_get(words, texts) != 0)
        exit(2);
    put("{\"argv\":[");
    for (size_t i = 1; i < count; i++) {
        put(i > 1 ? "," : "");
        wasmgrid_put_text((const char *)words[i], strlen((const char *)words[i]));
    }
    put("]}");
    size_t length = output_used;
    unsigned char *line = malloc(length);
    if (line == NULL)
        exit(2);
    memcpy(line, output, length);
    answer(line, length);
    bool good = output[0] == '=';
    if (!(good && output_used == 5 && memcmp(output, "=null", 5) == 0))
        fprintf(good ? stdout : stderr, "%.*s\n", (int)output_used - 1, output + 1);
    exit(good ? 0 : output[0] == '!' ? 1 : 2);
}
