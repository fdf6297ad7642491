// In how many ways can n queens stand on a board without attacking each other?
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t place(uint32_t all, uint32_t columns, uint32_t left, uint32_t right) {
    if (columns == all) return 1;
    uint64_t ways = 0;
    for (uint32_t free = all & ~(columns | left | right); free; free &= free - 1) {
        uint32_t queen = free & -free;
        ways += place(all, columns | queen, (left | queen) << 1, (right | queen) >> 1);
    }
    return ways;
}

int main(int count, char **words) {
    int most = count > 1 ? atoi(words[1]) : 12;
    for (int n = 1; n <= most && n < 32; n++) {
        printf("%2d queens: %8llu ways\n", n, (unsigned long long)place((1u << n) - 1, 0, 0, 0));
        fflush(stdout);
    }
    return 0;
}
