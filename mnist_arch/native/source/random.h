// Random numbers as torch draws them.
#pragma once

#include <cstdint>

/// The state of torch's generator of a CPU, as its `get_state` writes it.
struct GeneratorState {
    std::uint64_t seed;
    std::int32_t left, seeded;  // numbers until it is made anew, 1 more
    std::uint64_t next;
    std::uint64_t words[624];
    double normals[3];  // what is left of a normal draw, which is not looked at
    std::uint64_t more[2];
};

/// Writes 1 where a uniform draw is below `share`, else 0, so many times. Throws std::invalid_argument.
void draw_kept(GeneratorState& state, double share, std::int64_t count, float* to);
