// The pixels of one map as weighted sums over the pixels of another: what a convolution is forward,
// and what its gradient with respect to its input is. And the sums of products of two maps: what its
// gradient with respect to its weights is.
#pragma once

#include <cstddef>
#include <vector>

#include "vector.h"

/// Where pixels lie, in floats: the first one, and the steps between rows, columns and channels.
struct Grid {
    std::ptrdiff_t first = 0, row = 0, column = 0, channel = 0;
};

/// Equal groups of channels, of which each makes its own, and the taps of each pixel.
struct Stencil {
    int rows = 0, columns = 0;
    int groups = 1, inputs = 1, outputs = 1;  // channels of a group
    Grid from, to;
    std::vector<int> taps;    // offsets in floats from the pixel of `from`, channel by channel
    std::vector<int> blocks;  // channels that are made at once: see kernels.h
};

/// What is done with a pixel before it is stored.
struct Epilogue {
    const float* bias = nullptr;  // one for each channel
    bool adds = false;            // to what is there
    bool rectifies = false;       // ReLU, or with a slope below zero
    float slope = 0;
    float* sums = nullptr;  // [channel][3][LANES]: first pixel, sums and squares of distances to it
};

/// Makes all pixels of `to`. `weights` are packed: [group][block][tap][channel of the block].
void apply(const Stencil&, const float* weights, const float* from, float* to, const Epilogue&);

/// Adds to `sums`, [group][output][tap][LANES], the products of `to`'s pixels with those of `from`
/// under each tap.
void correlate(const Stencil&, const float* from, const float* to, float* sums);
