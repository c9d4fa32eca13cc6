// Convolutions of 3×3 with stride 1 by Winograd's F(2×2, 3×3) (Lavin and Gray 2016): four pixels of
// an output channel take 16 products of an input channel instead of 36. Maps are cut into tiles of
// 4×4 that overlap by 2; a tile becomes 16 frequencies, and at each of them channels are mixed as in
// a 1×1 convolution. In this layout every transform is a few sums of vectors.
#pragma once

#include <cstddef>
#include <vector>

#include "map.h"
#include "stencil.h"

class Winograd {
public:
    /// Tiles that are worked on together, in whole rows: few, so that all channels of them stay in a
    /// cache, and for `correlate` more, since its sums are read and written once for so many; of up to 16
    /// channels, those of one frequency still stay in the nearest cache.
    static constexpr int TILES = 7, TILES_OF_PRODUCTS = 28;

    /// `from` is read from `top` pixels before its first row and `left` before its first column on. Of
    /// a map with odd sides a tile reads, without consequences, one pixel more: its border has it.
    Winograd(const Map& from, const Map& to, int top, int left, int tiles);

    /// Floats that a thread lends to `apply`, or to `correlate`, from a map of `inputs` channels to such a
    /// one as `to`, of `outputs`.
    static std::size_t scratch(int inputs, int outputs, const Map& to, int tiles);

    /// Places of weights, [output][input][row][column].
    void pack(const float* weights, const std::vector<int>& places);
    void apply(int group, const Epilogue&, float* scratch) const;

    /// Adds to a gradient, at `places`, the products of `from` with `to`, which is the gradient of
    /// the output. Beyond odd sides it is 0.
    void correlate(int group, const std::vector<int>& places, float* gradient, float* scratch) const;

private:
    /// Rows of tiles that are worked on together.
    struct Strip {
        int first, last, tiles;  // rows, and tiles of all of them
    };

    std::ptrdiff_t apart(int channels) const;  // floats between two frequencies
    Strip strip(int first) const;
    void read_row(int group, const Strip&, int k, float* frequencies) const;
    void combine_rows(int group, const Strip&, bool adds, float* to) const;
    void write(int group, const Strip&, const float* frequencies, const Epilogue&) const;

    Map from_, to_;
    int top_, left_, tiles_wide_, tiles_high_, strip_rows_;
    std::ptrdiff_t run_;  // floats of a channel's tiles at one frequency
    std::vector<int> blocks_;     // of outputs
    std::vector<int> taps_;       // the inputs at one frequency
    std::vector<float> weights_;  // [frequency][block][input][output of the block]
};
