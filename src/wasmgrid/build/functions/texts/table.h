/* Between the user's C file and the table of its function's types. Only words of the language: macros are around. */
#include "wasmgrid_call.h"

#define WASMGRID_MOST 64

union wasmgrid_slot {
    long long i;
    unsigned long long u;
    double f;
    const char *s;
    struct {
        void *items;
        __SIZE_TYPE__ count;
    } l;
};

/* A code per argument: i1 i2 i4 i8, u1 .. u8, f4 f8, b, c, s, and l before the code of a list's items. */
struct wasmgrid_table {
    unsigned count;
    const char *const *codes;
    const char *const *shown;
    const char *signature;
};

extern const struct wasmgrid_table wasmgrid_table;
void wasmgrid_apply(union wasmgrid_slot *slots);
void wasmgrid_release(const char *given);
void wasmgrid_give(const char *code, const union wasmgrid_slot *value);
