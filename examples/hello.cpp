// Reads numbers and says their sum; what is no number is caught as an exception and told on stderr.
#include <exception>
#include <iostream>
#include <string>

int main() {
    long sum = 0;
    for (const std::string word : {"20", "twenty", "22"}) {
        try {
            sum += std::stol(word);
        } catch (const std::exception &error) {
            std::cerr << "caught " << error.what() << ": " << word << " is no number\n";
        }
    }
    std::cout << "hello from C++, the sum is " << sum << "!\n";
}
