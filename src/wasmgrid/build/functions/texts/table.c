/* Arguments of a C function, by a table that was made out of its types: docs/functions.md. */
#pragma clang diagnostic ignored "-Weverything"
#include "wasmgrid_table.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const size_t sizes[] = {['b'] = sizeof(bool), ['c'] = 1, ['s'] = sizeof(char *)};

static size_t size_of(const char *code) { return code[0] == 'i' || code[0] == 'u' || code[0] == 'f' ? (size_t)(code[1] - '0') : sizes[(int)code[0]]; }

static bool list(const char *code, union wasmgrid_slot *slot);

static bool read(const char *code, union wasmgrid_slot *slot) {
    size_t length;
    float narrow;
    bool truth;
    int bits = code[1] ? (code[1] - '0') * 8 : 0;
    switch (code[0]) {
    case 'i':
        return wasmgrid_signed(&slot->i, LLONG_MIN >> (64 - bits), LLONG_MAX >> (64 - bits));
    case 'u':
        return wasmgrid_unsigned(&slot->u, ULLONG_MAX >> (64 - bits));
    case 'f':
        if (bits == 64)
            return wasmgrid_float(&slot->f);
        if (!wasmgrid_float32(&narrow))
            return false;
        slot->f = narrow;
        return true;
    case 'b':
        if (!wasmgrid_bool(&truth))
            return false;
        slot->u = truth;
        return true;
    case 'c':
        if (!wasmgrid_text(&slot->s, &length) || length != 1)
            return false;
        slot->i = *slot->s;
        return true;
    case 's':
        return wasmgrid_text(&slot->s, &length) && strlen(slot->s) == length; /* a NUL would end it early */
    default:
        return list(code + 1, slot);
    }
}

/* One item as it stands in an array. */
static void store(const char *code, char *at, const union wasmgrid_slot *item) {
    float narrow = (float)item->f;
    bool truth = item->u != 0;
    if (code[0] == 'f' && code[1] == '4')
        memcpy(at, &narrow, sizeof narrow);
    else if (code[0] == 'b')
        memcpy(at, &truth, sizeof truth);
    else
        memcpy(at, item, size_of(code)); /* little-endian: the low bytes come first */
}

static bool list(const char *code, union wasmgrid_slot *slot) {
    size_t room = 16, count = 0, size = size_of(code);
    char *items = wasmgrid_memory(room * size);
    if (items == NULL || !wasmgrid_eat('['))
        return false;
    if (!wasmgrid_eat(']')) {
        do {
            union wasmgrid_slot item;
            if (count == room) {
                char *more = room < SIZE_MAX / 4 / size ? wasmgrid_memory(room * 2 * size) : NULL;
                if (more == NULL)
                    return false;
                memcpy(more, items, count * size);
                items = more;
                room *= 2;
            }
            if (!read(code, &item))
                return false;
            store(code, items + count++ * size, &item);
        } while (wasmgrid_eat(','));
        if (!wasmgrid_eat(']'))
            return false;
    }
    slot->l.items = items;
    slot->l.count = count;
    return true;
}

void wasmgrid_give(const char *code, const union wasmgrid_slot *value) {
    union wasmgrid_slot item;
    float narrow;
    switch (code[0]) {
    case 'i':
        wasmgrid_put_signed(value->i);
        return;
    case 'u':
        wasmgrid_put_unsigned(value->u);
        return;
    case 'f':
        code[1] == '4' ? wasmgrid_put_float32((float)value->f) : wasmgrid_put_float(value->f);
        return;
    case 'b':
        value->u ? wasmgrid_put("true", 4) : wasmgrid_put("false", 5);
        return;
    case 'c':
        item.i = value->i;
        wasmgrid_put_text((const char *)&item, 1);
        return;
    case 's':
        value->s == NULL ? wasmgrid_put("null", 4) : wasmgrid_put_text(value->s, strlen(value->s));
        return;
    case 'l':
        code++;
        wasmgrid_put("[", 1);
        for (size_t i = 0, size = size_of(code); i < value->l.count; i++) {
            const char *at = (const char *)value->l.items + i * size;
            if (i > 0)
                wasmgrid_put(",", 1);
            item.u = 0;
            memcpy(&item, at, size);
            if (code[0] == 'i') /* its sign, into the upper bytes */
                item.i = (long long)(item.u << (64 - 8 * size)) >> (64 - 8 * size);
            if (code[0] == 'f' && size == 4) {
                memcpy(&narrow, at, sizeof narrow);
                item.f = narrow;
            }
            wasmgrid_give(code, &item);
        }
        wasmgrid_put("]", 1);
        return;
    default:
        wasmgrid_put("null", 4);
    }
}

/* What was returned as `char *`: freed, unless it is no memory of malloc's but a constant, or an argument's. */
void wasmgrid_release(const char *given) {
    extern char __heap_base;
    if (given >= &__heap_base && !wasmgrid_holds(given))
        free((void *)given);
}

void wasmgrid_perform(void) {
    static union wasmgrid_slot slots[WASMGRID_MOST];
    unsigned count = wasmgrid_table.count;
    for (unsigned place = 0; place < count; place++)
        if (!wasmgrid_open(place, count) ||
            !wasmgrid_close(read(wasmgrid_table.codes[place], &slots[place]), place, wasmgrid_table.shown[place]))
            return;
    if (wasmgrid_end(count))
        wasmgrid_apply(slots);
}

const char *wasmgrid_describe(void) { return wasmgrid_table.signature; }
