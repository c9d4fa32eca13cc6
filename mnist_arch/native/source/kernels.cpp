#include "kernels.h"

#include <array>
#include <utility>

namespace {

// ------------------------------------------------------------------------------ pixels of weights

/// Pixels in registers beside so many channels: sums, one row of operands, and a weight.
constexpr int pixels_beside(int outputs) {
    if (outputs == 1) return REGISTERS == 32 ? 14 : 8;  // whose operands come from memory
    return (REGISTERS - 1) / (outputs + 1);
}

/// The next of blocks that are as large as they can be, or are halves of what is left.
constexpr int next_block(int left, int most) {
    return left <= most ? left : left >= 2 * most ? most : (left + 1) / 2;
}

template <int OUTPUTS, int PIXELS>
inline void sum_up(const Row& row, int column, Vector (&pixel)[OUTPUTS][PIXELS]) {
    const float* from = row.from + column * row.from_column;
    const float* weight = row.weights;
    const std::ptrdiff_t step = row.from_column;
    for (int tap = 0; tap < row.tap_count; ++tap, weight += OUTPUTS) {
        const float* operand = from + row.taps[tap];
        Vector x[PIXELS];
        if constexpr (OUTPUTS > 1) {
            for (int p = 0; p < PIXELS; ++p) x[p] = load(operand + p * step);
            for (int p = 0; p < PIXELS; ++p) pin(x[p]);
            for (int o = 0; o < OUTPUTS; ++o) {
                Vector w = all(weight[o]);
                pin(w);
                for (int p = 0; p < PIXELS; ++p) pixel[o][p] = fma(w, x[p], pixel[o][p]);
            }
        } else {
            Vector w = all(weight[0]);
            pin(w);
            for (int p = 0; p < PIXELS; ++p)
                pixel[0][p] = fma(w, load(operand + p * step), pixel[0][p]);
        }
    }
}

/// Sums over one row of the distances to the first pixel of a channel, and of their squares.
template <int OUTPUTS>
struct RowSums {
    Vector sum[OUTPUTS], squares[OUTPUTS];
};

template <int OUTPUTS, int PIXELS>
void block(const Row& row, int column, RowSums<OUTPUTS>& sums) {
    float* const to = row.to + column * row.to_column;
    Vector pixel[OUTPUTS][PIXELS];
    for (int o = 0; o < OUTPUTS; ++o) {
        const Vector start = row.bias ? all(row.bias[o]) : Vector{};
        for (int p = 0; p < PIXELS; ++p)
            pixel[o][p] = row.adds ? load(to + o * row.to_channel + p * row.to_column) : start;
    }
    sum_up<OUTPUTS, PIXELS>(row, column, pixel);
    for (int o = 0; o < OUTPUTS; ++o) {
        if (row.rectifies)
            for (int p = 0; p < PIXELS; ++p)
                pixel[o][p] = pixel[o][p] < 0.0f ? pixel[o][p] * row.slope : pixel[o][p];
        if (row.sums) {
            float* const kept = row.sums + o * 3 * LANES;
            if (row.starts_sums && column == 0) start_sums(kept, pixel[o][0]);
            const Vector first = load(kept);
            for (int p = 0; p < PIXELS; ++p) {
                const Vector distance = pixel[o][p] - first;
                sums.sum[o] = sums.sum[o] + distance;
                sums.squares[o] = fma(distance, distance, sums.squares[o]);
            }
        }
        for (int p = 0; p < PIXELS; ++p)
            store(to + o * row.to_channel + p * row.to_column, pixel[o][p]);
    }
}

template <int OUTPUTS>
using Block = void (*)(const Row&, int column, RowSums<OUTPUTS>&);

template <int OUTPUTS, int... PIXELS>
constexpr std::array<Block<OUTPUTS>, sizeof...(PIXELS)> blocks_with(std::integer_sequence<int, PIXELS...>) {
    return {block<OUTPUTS, PIXELS + 1>...};
}

template <int OUTPUTS>
constexpr auto BLOCKS =
    blocks_with<OUTPUTS>(std::make_integer_sequence<int, pixels_beside(OUTPUTS)>());

template <int OUTPUTS>
void make_blocks(const Row& row, int columns) {
    constexpr int most = pixels_beside(OUTPUTS);
    RowSums<OUTPUTS> sums;
    for (int o = 0; o < OUTPUTS; ++o) sums.sum[o] = sums.squares[o] = Vector{};
    for (int column = 0; column < columns;) {
        const int pixels = next_block(columns - column, most);
        BLOCKS<OUTPUTS>[pixels - 1](row, column, sums);
        column += pixels;
    }
    if (!row.sums) return;
    for (int o = 0; o < OUTPUTS; ++o)
        add_row(row.sums + o * 3 * LANES, sums.sum[o], sums.squares[o]);
}

// ---------------------------------------------------------------------------- channels of channels

template <int OUTPUTS, int PIXELS>
void mix_block(const Mix& mix, int column) {
    const float *from = mix.from + column * LANES, *weight = mix.weights;
    float* const to = mix.to + column * LANES;
    Vector pixel[OUTPUTS][PIXELS];
    for (int o = 0; o < OUTPUTS; ++o)
        for (int p = 0; p < PIXELS; ++p) pixel[o][p] = Vector{};
    for (int c = 0; c < mix.inputs; ++c, from += mix.from_channel, weight += OUTPUTS) {
        Vector x[PIXELS];
        for (int p = 0; p < PIXELS; ++p) x[p] = load(from + p * LANES);
        for (int p = 0; p < PIXELS; ++p) pin(x[p]);
        for (int o = 0; o < OUTPUTS; ++o) {
            Vector w = all(weight[o]);
            pin(w);
            for (int p = 0; p < PIXELS; ++p) pixel[o][p] = fma(w, x[p], pixel[o][p]);
        }
    }
    for (int o = 0; o < OUTPUTS; ++o)
        for (int p = 0; p < PIXELS; ++p) store(to + o * mix.to_channel + p * LANES, pixel[o][p]);
}

using MixBlock = void (*)(const Mix&, int column);

template <int OUTPUTS, int... PIXELS>
constexpr std::array<MixBlock, sizeof...(PIXELS)> mixes(std::integer_sequence<int, PIXELS...>) {
    return {mix_block<OUTPUTS, PIXELS + 1>...};
}

template <int OUTPUTS>
void mix_blocks(const Mix& mix) {
    constexpr int most = pixels_beside(OUTPUTS);
    static constexpr auto MIXES = mixes<OUTPUTS>(std::make_integer_sequence<int, most>());
    for (int column = 0; column < mix.columns;) {
        const int pixels = next_block(mix.columns - column, most);
        MIXES[pixels - 1](mix, column);
        column += pixels;
    }
}

// ------------------------------------------------------------------------------ sums of products

/// Taps in registers beside so many channels: sums, a row of operands, and one of the other map.
constexpr int taps_beside(int outputs) {
    if (outputs == 1) return REGISTERS == 32 ? 16 : 9;  // whose operands come from memory
    return (REGISTERS - 1) / (outputs + 1);
}

template <int OUTPUTS, int TAPS>
void multiply_block(const Band& band) {
    Vector sums[OUTPUTS][TAPS];
    for (int o = 0; o < OUTPUTS; ++o)
        for (int t = 0; t < TAPS; ++t) sums[o][t] = load(band.sums + o * band.sums_channel + t * LANES);
    const float* from[TAPS];
    for (int t = 0; t < TAPS; ++t) from[t] = band.from + band.taps[t];
    const float* to[OUTPUTS];
    for (int o = 0; o < OUTPUTS; ++o) to[o] = band.to + o * band.to_channel;
    for (int y = 0; y < band.rows; ++y) {
        std::ptrdiff_t there = y * band.from_row, here = y * band.to_row;
        for (int column = 0; column < band.columns; ++column) {
            if constexpr (OUTPUTS > 1) {
                Vector x[TAPS];
                for (int t = 0; t < TAPS; ++t) x[t] = load(from[t] + there);
                for (int t = 0; t < TAPS; ++t) pin(x[t]);
                for (int o = 0; o < OUTPUTS; ++o) {
                    Vector d = load(to[o] + here);
                    pin(d);
                    for (int t = 0; t < TAPS; ++t) sums[o][t] = fma(d, x[t], sums[o][t]);
                }
            } else {
                Vector d = load(to[0] + here);
                pin(d);
                for (int t = 0; t < TAPS; ++t)
                    sums[0][t] = fma(d, load(from[t] + there), sums[0][t]);
            }
            there += band.from_column;
            here += band.to_column;
        }
    }
    for (int o = 0; o < OUTPUTS; ++o)
        for (int t = 0; t < TAPS; ++t) store(band.sums + o * band.sums_channel + t * LANES, sums[o][t]);
}

using Multiply = void (*)(const Band&);

template <int OUTPUTS, int... TAPS>
constexpr std::array<Multiply, sizeof...(TAPS)> products(std::integer_sequence<int, TAPS...>) {
    return {multiply_block<OUTPUTS, TAPS + 1>...};
}

template <int OUTPUTS>
void multiply_taps(Band band, int tap_count) {
    constexpr int most = taps_beside(OUTPUTS);
    static constexpr auto PRODUCTS = products<OUTPUTS>(std::make_integer_sequence<int, most>());
    for (int left = tap_count; left > 0;) {
        const int taps = next_block(left, most);
        PRODUCTS[taps - 1](band);
        band.taps += taps;
        band.sums += taps * LANES;
        left -= taps;
    }
}

}  // namespace

std::vector<int> blocks_of(int channels) {
    const int blocks = (channels + MOST_OUTPUTS - 1) / MOST_OUTPUTS;
    std::vector<int> sizes(blocks, channels / blocks);
    for (int index = 0; index < channels % blocks; ++index) ++sizes[index];
    return sizes;
}

void make_row(const Row& row, int outputs, int columns) {
    switch (outputs) {
        case 1: return make_blocks<1>(row, columns);
        case 2: return make_blocks<2>(row, columns);
        case 3: return make_blocks<3>(row, columns);
        default: return make_blocks<4>(row, columns);
    }
}

void mix(const Mix& mix, int outputs) {
    switch (outputs) {
        case 1: return mix_blocks<1>(mix);
        case 2: return mix_blocks<2>(mix);
        case 3: return mix_blocks<3>(mix);
        default: return mix_blocks<4>(mix);
    }
}

void multiply(const Band& band, int outputs, int tap_count) {
    switch (outputs) {
        case 1: return multiply_taps<1>(band, tap_count);
        case 2: return multiply_taps<2>(band, tap_count);
        case 3: return multiply_taps<3>(band, tap_count);
        default: return multiply_taps<4>(band, tap_count);
    }
}
