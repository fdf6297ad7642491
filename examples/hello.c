/* Says hello to each of its arguments; exits 3 where there are too many, so that the exit code can be seen. */
#include <stdio.h>

int main(int argc, char **argv) {
    printf("hello from C, %s!\n", argc > 1 ? argv[1] : "world");
    for (int i = 2; i < argc; i++) {
        printf("and hello, %s!\n", argv[i]);
    }
    return argc > 9 ? 3 : 0;
}
