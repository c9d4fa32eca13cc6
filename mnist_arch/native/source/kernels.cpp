#include "kernels.h"

#include <algorithm>
#include <array>
#include <utility>

namespace {

// ------------------------------------------------------------------------------ pixels of weights

/// Pixels in registers beside so many channels: sums, one row of operands, and a weight.
constexpr int pixels_beside(int outputs) {
    if (outputs == 1) return 8;  // whose operands come from memory
    return (REGISTERS - 1) / (outputs + 1);
}

/// Blocks are as large as they can be, or else a power of two: each size is a function of its own, and
/// these are what building takes longest for.
constexpr int size_of_block(int index, int most) { return std::min(1 << index, most); }

/// How many sizes there are.
constexpr int sizes_up_to(int most) {
    int count = 1;
    while (size_of_block(count - 1, most) < most) ++count;
    return count;
}

/// Which size comes next of so many that are left. Two alike are faster than a large and a small one.
constexpr int next_block(int left, int most) {
    int index = sizes_up_to(most) - 1;
    if (left > most && index > 0 && left == 2 * size_of_block(index - 1, most)) --index;
    while (size_of_block(index, most) > left) --index;
    return index;
}

template <int OUTPUTS, int PIXELS>
IN_LINE inline void sum_up(const Row& row, int column, Vector (&pixel)[OUTPUTS][PIXELS]) {
    const float* from = row.from + column * row.from_column;
    const float* weight = row.weights;
    const std::ptrdiff_t step = row.from_column;
    for (int tap = 0; tap < row.tap_count; ++tap, weight += OUTPUTS) {
        const float* operand = from + row.taps[tap];
        if constexpr (OUTPUTS > 1) {
            Vector x[PIXELS];
            each<PIXELS>([&](auto p) IN_LINE { x[p] = pinned(load(operand + p * step)); });
            each<OUTPUTS>([&](auto o) IN_LINE {
                const Vector w = pinned(all(weight[o]));
                each<PIXELS>([&](auto p) IN_LINE { pixel[o][p] = fma(w, x[p], pixel[o][p]); });
            });
        } else {
            const Vector w = pinned(all(weight[0]));
            each<PIXELS>([&](auto p) IN_LINE {
                pixel[0][p] = fma(w, load(operand + p * step), pixel[0][p]);
            });
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
    const auto place = [&](int o, int p) { return to + o * row.to_channel + p * row.to_column; };
    Vector pixel[OUTPUTS][PIXELS];
    if (row.adds)
        each<OUTPUTS * PIXELS>([&](auto k) IN_LINE {
            pixel[k / PIXELS][k % PIXELS] = load(place(k / PIXELS, k % PIXELS));
        });
    else
        each<OUTPUTS>([&](auto o) IN_LINE {
            const Vector start = row.bias ? all(row.bias[o]) : Vector{};
            each<PIXELS>([&](auto p) IN_LINE { pixel[o][p] = start; });
        });
    sum_up<OUTPUTS, PIXELS>(row, column, pixel);
    if (row.rectifies) {
        const Vector slope = all(row.slope);
        each<OUTPUTS * PIXELS>([&](auto k) IN_LINE {
            Vector& it = pixel[k / PIXELS][k % PIXELS];
            it = it < 0.0f ? it * slope : it;
        });
    }
    each<OUTPUTS * PIXELS>([&](auto k) IN_LINE {
        store(place(k / PIXELS, k % PIXELS), pixel[k / PIXELS][k % PIXELS]);
    });
    if (!row.sums) return;
    each<OUTPUTS>([&](auto o) IN_LINE {
        float* const kept = row.sums + o * 3 * LANES;
        if (row.starts_sums && column == 0) start_sums(kept, pixel[o][0]);
        const Vector first = load(kept);
        Vector sum = sums.sum[o], squares = sums.squares[o];
        each<PIXELS>([&](auto p) IN_LINE {
            const Vector distance = pixel[o][p] - first;
            sum = sum + distance;
            squares = fma(distance, distance, squares);
        });
        sums.sum[o] = sum;
        sums.squares[o] = squares;
    });
}

template <int OUTPUTS>
using Block = void (*)(const Row&, int column, RowSums<OUTPUTS>&);

template <int OUTPUTS, int... INDEX>
constexpr std::array<Block<OUTPUTS>, sizeof...(INDEX)> blocks_with(std::integer_sequence<int, INDEX...>) {
    return {block<OUTPUTS, size_of_block(INDEX, pixels_beside(OUTPUTS))>...};
}

template <int OUTPUTS>
constexpr auto BLOCKS =
    blocks_with<OUTPUTS>(std::make_integer_sequence<int, sizes_up_to(pixels_beside(OUTPUTS))>());

template <int OUTPUTS>
void make_blocks(const Row& row, int columns) {
    constexpr int most = pixels_beside(OUTPUTS);
    RowSums<OUTPUTS> sums;
    for (int o = 0; o < OUTPUTS; ++o) sums.sum[o] = sums.squares[o] = Vector{};
    for (int column = 0; column < columns;) {
        const int size = next_block(columns - column, most);
        BLOCKS<OUTPUTS>[size](row, column, sums);
        column += size_of_block(size, most);
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
    each<OUTPUTS * PIXELS>([&](auto k) IN_LINE { pixel[k / PIXELS][k % PIXELS] = Vector{}; });
    for (int c = 0; c < mix.inputs; ++c, from += mix.from_channel, weight += OUTPUTS) {
        Vector x[PIXELS];
        each<PIXELS>([&](auto p) IN_LINE { x[p] = pinned(load(from + p * LANES)); });
        each<OUTPUTS>([&](auto o) IN_LINE {
            const Vector w = pinned(all(weight[o]));
            each<PIXELS>([&](auto p) IN_LINE { pixel[o][p] = fma(w, x[p], pixel[o][p]); });
        });
    }
    each<OUTPUTS * PIXELS>([&](auto k) IN_LINE {
        store(to + k / PIXELS * mix.to_channel + k % PIXELS * LANES, pixel[k / PIXELS][k % PIXELS]);
    });
}

/// Of four channels, pairs of pixels were up to a tenth faster than threes where those just fit in the
/// registers.
constexpr int pixels_mixed(int outputs) {
    return outputs == 4 && REGISTERS <= 16 ? 2 : pixels_beside(outputs);
}

using MixBlock = void (*)(const Mix&, int column);

template <int OUTPUTS, int... INDEX>
constexpr std::array<MixBlock, sizeof...(INDEX)> mixes(std::integer_sequence<int, INDEX...>) {
    return {mix_block<OUTPUTS, size_of_block(INDEX, pixels_mixed(OUTPUTS))>...};
}

template <int OUTPUTS>
void mix_blocks(const Mix& mix) {
    constexpr int most = pixels_mixed(OUTPUTS);
    static constexpr auto MIXES =
        mixes<OUTPUTS>(std::make_integer_sequence<int, sizes_up_to(most)>());
    for (int column = 0; column < mix.columns;) {
        const int size = next_block(mix.columns - column, most);
        MIXES[size](mix, column);
        column += size_of_block(size, most);
    }
}

// ------------------------------------------------------------------------------ sums of products

/// Taps in registers beside so many channels: sums, a row of operands, and one of the other map.
constexpr int taps_beside(int outputs) {
    if (outputs == 1) return 9;  // whose operands come from memory
    return (REGISTERS - 1) / (outputs + 1);
}

template <bool PAIRS, int OUTPUTS, int TAPS>
void multiply_block(const Band& band) {
    const float next = band.next;
    Vector sums[OUTPUTS][TAPS];
    const float *from[TAPS], *to[OUTPUTS];
    const auto place = [&](int k) { return band.sums + k / TAPS * band.sums_channel + k % TAPS * LANES; };
    each<OUTPUTS * TAPS>([&](auto k) IN_LINE { sums[k / TAPS][k % TAPS] = Vector{}; });
    each<TAPS>([&](auto t) IN_LINE { from[t] = band.from + band.taps[t]; });
    each<OUTPUTS>([&](auto o) IN_LINE { to[o] = band.to + o * band.to_channel; });
    const auto change = [&](int o, std::ptrdiff_t here) IN_LINE {
        const Vector d = load(to[o] + here);
        return pinned(PAIRS ? fma(load(to[o] + here + LANES), all(next), d) : d);
    };
    for (int y = 0; y < band.rows; ++y) {
        std::ptrdiff_t there = y * band.from_row, here = y * band.to_row;
        for (int column = 0; column < band.columns; ++column) {
            if constexpr (OUTPUTS > 1) {
                Vector x[TAPS];
                each<TAPS>([&](auto t) IN_LINE { x[t] = pinned(load(from[t] + there)); });
                each<OUTPUTS>([&](auto o) IN_LINE {
                    const Vector d = change(o, here);
                    each<TAPS>([&](auto t) IN_LINE { sums[o][t] = fma(d, x[t], sums[o][t]); });
                });
            } else {
                const Vector d = change(0, here);
                each<TAPS>([&](auto t) IN_LINE {
                    sums[0][t] = fma(d, load(from[t] + there), sums[0][t]);
                });
            }
            there += band.from_column;
            here += band.to_column;
        }
    }
    // Those of a band are summed apart: a long sum of short ones loses fewer digits.
    each<OUTPUTS * TAPS>([&](auto k) IN_LINE {
        store(place(k), load(place(k)) + sums[k / TAPS][k % TAPS]);
    });
}

using Multiply = void (*)(const Band&);

template <bool PAIRS, int OUTPUTS, int... INDEX>
constexpr std::array<Multiply, sizeof...(INDEX)> products(std::integer_sequence<int, INDEX...>) {
    return {multiply_block<PAIRS, OUTPUTS, size_of_block(INDEX, taps_beside(OUTPUTS))>...};
}

template <bool PAIRS, int OUTPUTS>
void multiply_taps(Band band, int tap_count) {
    constexpr int most = taps_beside(OUTPUTS);
    static constexpr auto PRODUCTS =
        products<PAIRS, OUTPUTS>(std::make_integer_sequence<int, sizes_up_to(most)>());
    for (int left = tap_count; left > 0;) {
        const int size = next_block(left, most), taps = size_of_block(size, most);
        PRODUCTS[size](band);
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

template <bool PAIRS>
void multiply_outputs(const Band& band, int outputs, int tap_count) {
    switch (outputs) {
        case 1: return multiply_taps<PAIRS, 1>(band, tap_count);
        case 2: return multiply_taps<PAIRS, 2>(band, tap_count);
        case 3: return multiply_taps<PAIRS, 3>(band, tap_count);
        default: return multiply_taps<PAIRS, 4>(band, tap_count);
    }
}

void multiply(const Band& band, int outputs, int tap_count) {
    band.next != 0 ? multiply_outputs<true>(band, outputs, tap_count)
                   : multiply_outputs<false>(band, outputs, tap_count);
}
