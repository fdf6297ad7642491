/* What a call is made of, for C and C++: docs/functions.md. Everything is of one thread and of one call at a time. */
#ifndef WASMGRID_CALL_H
#define WASMGRID_CALL_H

#ifdef __cplusplus
#define WASMGRID_BOOL bool
extern "C" {
#else
#define WASMGRID_BOOL _Bool
#endif

/* Given by the user's side: reads the arguments, calls the function, writes the answer; and what it looks like. */
void wasmgrid_perform(void);
const char *wasmgrid_describe(void);

/* Arguments, in order: open one, read it with what follows, close it. False where there is none, or it is no fit. */
WASMGRID_BOOL wasmgrid_open(unsigned place, unsigned count);
WASMGRID_BOOL wasmgrid_close(WASMGRID_BOOL good, unsigned place, const char *wanted);
WASMGRID_BOOL wasmgrid_end(unsigned count);

WASMGRID_BOOL wasmgrid_eat(char byte);
WASMGRID_BOOL wasmgrid_literal(const char *text);
WASMGRID_BOOL wasmgrid_signed(long long *value, long long least, long long most);
WASMGRID_BOOL wasmgrid_unsigned(unsigned long long *value, unsigned long long most);
WASMGRID_BOOL wasmgrid_float(double *value);
WASMGRID_BOOL wasmgrid_float32(float *value);
WASMGRID_BOOL wasmgrid_bool(WASMGRID_BOOL *value);
/* UTF-8 with a NUL behind it, which lives as long as the call. */
WASMGRID_BOOL wasmgrid_text(const char **text, __SIZE_TYPE__ *size);
/* Memory that lives as long as the call; NULL where there is none left. */
void *wasmgrid_memory(__SIZE_TYPE__ size);

/* Whether that memory is where `at` is. */
WASMGRID_BOOL wasmgrid_holds(const void *at);

/* The answer: its mark (= ? !), then text. */
void wasmgrid_answer(char mark);
void wasmgrid_put(const char *bytes, __SIZE_TYPE__ size);
void wasmgrid_put_text(const char *text, __SIZE_TYPE__ size);
void wasmgrid_put_signed(long long value);
void wasmgrid_put_unsigned(unsigned long long value);
void wasmgrid_put_float(double value);
void wasmgrid_put_float32(float value);

#ifdef __cplusplus
}
#endif
#endif
