// Monte Carlo: pi out of random points, in ten tasks. Each task's index is its seed, so every run gives the same.
//
//     wasmgrid run examples/pi.cpp --array 0-9 -- {index}
#include <cstdint>
#include <iomanip>
#include <iostream>
#include <random>
#include <string>

int main(int argc, char **argv) {
    const std::uint64_t seed = argc > 1 ? std::stoull(argv[1]) : 0;
    const std::uint64_t points = argc > 2 ? std::stoull(argv[2]) : 1'000'000;

    std::mt19937_64 random(seed); // gives the same numbers everywhere; std::uniform_real_distribution need not
    const auto unit = [&random] { return static_cast<double>(random() >> 11) * 0x1p-53; };

    std::uint64_t inside = 0;
    for (std::uint64_t i = 0; i < points; i++) {
        const double x = unit(), y = unit();
        inside += x * x + y * y < 1.0;
    }
    const double pi = 4.0 * static_cast<double>(inside) / static_cast<double>(points);
    std::cout << "{\"seed\":" << seed << ",\"pi\":" << std::fixed << std::setprecision(6) << pi << "}\n";
}
