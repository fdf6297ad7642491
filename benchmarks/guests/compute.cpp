// The one that computes for about 5 ms: the n-body problem, sun and four planets; the argument is the task's number.
// The work does not depend on it, so that all tasks cost the same. A second argument is the number of steps.
#include <cmath>
#include <cstdio>
#include <cstdlib>

struct Body {
    double at[3], velocity[3], mass;
};

constexpr double SOLAR = 4 * 3.141592653589793 * 3.141592653589793, DAYS = 365.24;

static Body bodies[] = {
    {{0, 0, 0}, {0, 0, 0}, SOLAR},
    {{4.84143144246472090e+00, -1.16032004402742839e+00, -1.03622044471123109e-01},
     {1.66007664274403694e-03 * DAYS, 7.69901118419740425e-03 * DAYS, -6.90460016972063023e-05 * DAYS},
     9.54791938424326609e-04 * SOLAR},
    {{8.34336671824457987e+00, 4.12479856412430479e+00, -4.03523417114321381e-01},
     {-2.76742510726411899e-03 * DAYS, 4.99852801234917238e-03 * DAYS, 2.30417297573763929e-05 * DAYS},
     2.85885980666130812e-04 * SOLAR},
    {{1.28943695621391310e+01, -1.51111514016986312e+01, -2.23307578892655734e-01},
     {2.96460137564761618e-03 * DAYS, 2.37847173959480950e-03 * DAYS, -2.96589568540237556e-05 * DAYS},
     4.36624404335156298e-05 * SOLAR},
    {{1.53796971148509165e+01, -2.59193146099879641e+01, 1.79258772950371181e-01},
     {2.68067772490389322e-03 * DAYS, 1.62824170038242295e-03 * DAYS, -9.51592254519715870e-05 * DAYS},
     5.15138902046611451e-05 * SOLAR},
};

static void advance(double step) {
    for (Body *one = bodies; one != bodies + 5; ++one) {
        for (Body *two = one + 1; two != bodies + 5; ++two) {
            double apart[3], squared = 0;
            for (int axis = 0; axis < 3; ++axis) {
                apart[axis] = one->at[axis] - two->at[axis];
                squared += apart[axis] * apart[axis];
            }
            const double pull = step / (squared * std::sqrt(squared));
            for (int axis = 0; axis < 3; ++axis) {
                one->velocity[axis] -= apart[axis] * two->mass * pull;
                two->velocity[axis] += apart[axis] * one->mass * pull;
            }
        }
    }
    for (Body &body : bodies)
        for (int axis = 0; axis < 3; ++axis)
            body.at[axis] += step * body.velocity[axis];
}

static double energy() {
    double sum = 0;
    for (const Body *one = bodies; one != bodies + 5; ++one) {
        for (int axis = 0; axis < 3; ++axis)
            sum += 0.5 * one->mass * one->velocity[axis] * one->velocity[axis];
        for (const Body *two = one + 1; two != bodies + 5; ++two) {
            double squared = 0;
            for (int axis = 0; axis < 3; ++axis)
                squared += (one->at[axis] - two->at[axis]) * (one->at[axis] - two->at[axis]);
            sum -= one->mass * two->mass / std::sqrt(squared);
        }
    }
    return sum;
}

int main(int count, char **words) {
    const long steps = count > 2 ? std::atol(words[2]) : 82000;
    for (long step = 0; step < steps; ++step)
        advance(0.01);
    std::printf("%s %.9f\n", count > 1 ? words[1] : "", energy());
}
