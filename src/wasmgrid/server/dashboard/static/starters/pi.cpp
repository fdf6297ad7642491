// Pi by throwing darts, with a progress bar.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <random>

int main() {
    std::mt19937_64 dice(42);
    std::uniform_real_distribution<double> side(-1.0, 1.0);
    const std::int64_t rounds = 40, darts = 500'000;
    std::int64_t inside = 0;
    for (std::int64_t round = 1; round <= rounds; ++round) {
        for (std::int64_t dart = 0; dart < darts; ++dart) {
            const double x = side(dice), y = side(dice);
            inside += x * x + y * y <= 1.0;
        }
        const double pi = 4.0 * inside / (round * darts);
        std::printf("\r\033[32m%-40.*s\033[0m %3lld%%  pi ~ %.6f", int(round), "########################################",
                    static_cast<long long>(100 * round / rounds), pi);
        std::fflush(stdout);
    }
    std::printf("\n%lld darts, off by %.1e\n", static_cast<long long>(rounds * darts),
                std::abs(4.0 * inside / (rounds * darts) - std::acos(-1.0)));
}
