// The loops in which the time goes: weighted sums of vectors, and sums of products of vectors, for a
// block of channels at once, as many as there are registers for. Shapes are arguments; only the
// sizes of the blocks are known to the compiler.
#pragma once

#include <cstddef>
#include <vector>

#include "vector.h"

/// Channels that are made at once.
constexpr int MOST_OUTPUTS = 4;

/// Channels in blocks of up to MOST_OUTPUTS, whose sizes differ by one at most.
std::vector<int> blocks_of(int channels);

/// One row of a block of channels. Each pixel is a sum over taps, which are offsets in floats.
struct Row {
    const float* from;
    float* to;
    const float* weights;  // [tap][channel of the block]
    const int* taps;
    int tap_count;
    std::ptrdiff_t from_column, to_column, to_channel;
    const float* bias;  // of each channel
    float* sums;           // [channel][3][LANES]: see Epilogue
    bool adds;             // to what is there
    bool rectifies, starts_sums;
    float slope;
};

void make_row(const Row&, int outputs, int columns);

/// Columns of a block of channels as sums over the same columns of other channels.
struct Mix {
    const float* from;
    std::ptrdiff_t from_channel;
    int inputs;
    const float* weights;  // [input][channel of the block]
    float* to;
    std::ptrdiff_t to_channel;
    int columns;
};

void mix(const Mix&, int outputs);

/// Rows of two maps, of which a block of channels is multiplied with a block of taps.
struct Band {
    const float* from;
    const float* to;
    const int* taps;
    float* sums;  // [channel][tap][LANES], to which is added
    int rows, columns;
    std::ptrdiff_t from_row, from_column, to_row, to_column, to_channel, sums_channel;
    float next;  // times the pixel on its right is added to each of `to`; 0 is as it is
};

void multiply(const Band&, int outputs, int tap_count);

/// Sums of a channel that has no pixels yet but the first one: see Epilogue.
inline void start_sums(float* sums, Vector first) {
    store(sums, first);
    store(sums + LANES, Vector{});
    store(sums + 2 * LANES, Vector{});
}

/// Adds those of one row, which are summed apart: a long sum of short ones loses fewer digits.
inline void add_row(float* sums, Vector sum, Vector squares) {
    store(sums + LANES, load(sums + LANES) + sum);
    store(sums + 2 * LANES, load(sums + 2 * LANES) + squares);
}
