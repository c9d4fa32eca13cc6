#include "depthwise.h"

#include "kernels.h"

namespace {

/// Rows of one channel.
struct Plane {
    const float* from;  // the first pixel under the first weight
    float* to;
    std::ptrdiff_t from_row, to_row;
    int columns;
};

struct PixelEnd {
    Vector bias, slope, first;
    bool adds, rectifies, sums, starts_sums;
    float* kept;
};

/// A block of pixels. Each is summed weight by weight, row by row.
template <int ROWS, int COLUMNS>
IN_LINE inline void make_block(const Plane& plane, int column, const Vector (&weights)[9],
                               PixelEnd& end, Vector (&sum)[2], Vector (&squares)[2]) {
    const float* const from = plane.from + column * LANES;
    float* const to = plane.to + column * LANES;
    Vector pixel[ROWS][COLUMNS];
    each<ROWS * COLUMNS>([&](auto k) IN_LINE {
        constexpr int y = k / COLUMNS, x = k % COLUMNS;
        pixel[y][x] = end.bias;
        if (end.adds) pixel[y][x] = load(to + y * plane.to_row + x * LANES);
    });
    each<ROWS + 2>([&](auto row) IN_LINE {
        each<COLUMNS + 2>([&](auto place) IN_LINE {
            const Vector seen = pinned(load(from + row * plane.from_row + place * LANES));
            each<ROWS * COLUMNS>([&](auto k) IN_LINE {
                constexpr int y = k / COLUMNS, x = k % COLUMNS, ky = row - y, kx = place - x;
                if constexpr (0 <= ky && ky < 3 && 0 <= kx && kx < 3)
                    pixel[y][x] = fma(weights[ky * 3 + kx], seen, pixel[y][x]);
            });
        });
    });
    if (end.rectifies)
        each<ROWS * COLUMNS>([&](auto k) IN_LINE {
            Vector& it = pixel[k / COLUMNS][k % COLUMNS];
            it = it < 0.0f ? it * end.slope : it;
        });
    each<ROWS * COLUMNS>([&](auto k) IN_LINE {
        store(to + k / COLUMNS * plane.to_row + k % COLUMNS * LANES, pixel[k / COLUMNS][k % COLUMNS]);
    });
    if (!end.sums) return;
    if (end.starts_sums) {
        start_sums(end.kept, pixel[0][0]);
        end.first = pixel[0][0];
        end.starts_sums = false;
    }
    each<ROWS * COLUMNS>([&](auto k) IN_LINE {
        const Vector distance = pixel[k / COLUMNS][k % COLUMNS] - end.first;
        sum[k & 1] = sum[k & 1] + distance;
        squares[k & 1] = fma(distance, distance, squares[k & 1]);
    });
}

template <int ROWS>
void make_rows(const Plane& plane, const Vector (&weights)[9], PixelEnd& end) {
    Vector sum[2]{}, squares[2]{};
    int column = 0;
    for (; column + 2 <= plane.columns; column += 2)
        make_block<ROWS, 2>(plane, column, weights, end, sum, squares);
    if (column < plane.columns) make_block<ROWS, 1>(plane, column, weights, end, sum, squares);
    if (end.sums) add_row(end.kept, sum[0] + sum[1], squares[0] + squares[1]);
}

template <int ROWS>
IN_LINE inline void multiply_rows(const Plane& plane, Vector (&sums)[9]) {
    const float *from = plane.from, *to = plane.to;
    for (int column = 0; column < plane.columns; ++column, from += LANES, to += LANES) {
        Vector change[ROWS];
        each<ROWS>([&](auto y) IN_LINE { change[y] = pinned(load(to + y * plane.to_row)); });
        each<ROWS + 2>([&](auto row) IN_LINE {
            each<3>([&](auto kx) IN_LINE {
                const Vector seen = pinned(load(from + row * plane.from_row + kx * LANES));
                each<ROWS>([&](auto y) IN_LINE {
                    constexpr int ky = row - y;
                    if constexpr (0 <= ky && ky < 3)
                        sums[ky * 3 + kx] = fma(change[y], seen, sums[ky * 3 + kx]);
                });
            });
        });
    }
}

}  // namespace

bool is_depthwise(const Stencil& it) {
    if (it.inputs != 1 || it.outputs != 1 || it.taps.size() != 9) return false;
    if (it.from.column != LANES || it.to.column != LANES) return false;
    for (int k = 0; k < 9; ++k)
        if (it.taps[k] != it.taps[0] + k / 3 * it.from.row + k % 3 * LANES) return false;
    return true;
}

void apply_depthwise(const Stencil& stencil, const float* weights, const float* from, float* to,
                     const Epilogue& epilogue) {
    for (int channel = 0; channel < stencil.groups; ++channel) {
        Vector weight[9];
        each<9>([&](auto k) IN_LINE { weight[k] = all(weights[channel * 9 + k]); });
        Plane plane{from + stencil.from.first + channel * stencil.from.channel + stencil.taps[0],
                    to + stencil.to.first + channel * stencil.to.channel, stencil.from.row,
                    stencil.to.row, stencil.columns};
        PixelEnd end{};
        if (epilogue.bias) end.bias = all(epilogue.bias[channel]);
        end.slope = all(epilogue.slope);
        end.adds = epilogue.adds;
        end.rectifies = epilogue.rectifies;
        end.sums = end.starts_sums = epilogue.sums != nullptr;
        if (end.sums) end.kept = epilogue.sums + channel * 3 * LANES;
        int y = 0;
        for (; y + 2 <= stencil.rows; y += 2) {
            make_rows<2>(plane, weight, end);
            plane.from += 2 * plane.from_row;
            plane.to += 2 * plane.to_row;
        }
        if (y < stencil.rows) make_rows<1>(plane, weight, end);
    }
}

void correlate_depthwise(const Stencil& stencil, const float* from, const float* to, float* sums) {
    for (int channel = 0; channel < stencil.groups; ++channel, sums += 9 * LANES) {
        Plane plane{from + stencil.from.first + channel * stencil.from.channel + stencil.taps[0],
                    const_cast<float*>(to) + stencil.to.first + channel * stencil.to.channel,
                    stencil.from.row, stencil.to.row, stencil.columns};
        Vector total[9];
        each<9>([&](auto k) IN_LINE { total[k] = load(sums + k * LANES); });
        int y = 0;
        for (; y + 2 <= stencil.rows; y += 2) {
            multiply_rows<2>(plane, total);
            plane.from += 2 * plane.from_row;
            plane.to += 2 * plane.to_row;
        }
        if (y < stencil.rows) multiply_rows<1>(plane, total);
        each<9>([&](auto k) IN_LINE { store(sums + k * LANES, total[k]); });
    }
}
