#include "stencil.h"

#include <algorithm>

#include "depthwise.h"
#include "kernels.h"

namespace {

/// Rows of a band: those of a block of channels stay in the nearest cache, which has 32 KiB.
int rows_of_band(int columns) {
    return std::max(1, 16 * 1024 / (MOST_OUTPUTS * columns * LANES * int(sizeof(float))));
}

}  // namespace

void apply(const Stencil& stencil, const float* weights, const float* from, float* to,
           const Epilogue& epilogue) {
    if (is_depthwise(stencil)) return apply_depthwise(stencil, weights, from, to, epilogue);
    const int tap_count = int(stencil.taps.size());
    Row row{};
    row.taps = stencil.taps.data();
    row.tap_count = tap_count;
    row.from_column = stencil.from.column;
    row.to_column = stencil.to.column;
    row.to_channel = stencil.to.channel;
    row.adds = epilogue.adds;
    row.rectifies = epilogue.rectifies;
    row.slope = epilogue.slope;
    for (int group = 0; group < stencil.groups; ++group) {
        const float* const inputs =
            from + stencil.from.first + group * stencil.inputs * stencil.from.channel;
        for (int y = 0; y < stencil.rows; ++y) {
            int output = group * stencil.outputs;
            row.from = inputs + y * stencil.from.row;
            row.weights = weights + std::ptrdiff_t(output) * tap_count;
            row.starts_sums = y == 0;
            for (const int outputs : stencil.blocks) {
                row.to = to + stencil.to.first + y * stencil.to.row + output * stencil.to.channel;
                row.bias = epilogue.bias ? epilogue.bias + output : nullptr;
                row.sums = epilogue.sums ? epilogue.sums + output * 3 * LANES : nullptr;
                make_row(row, outputs, stencil.columns);
                row.weights += outputs * tap_count;
                output += outputs;
            }
        }
    }
}

void correlate(const Stencil& stencil, const float* from, const float* to, float* sums) {
    if (is_depthwise(stencil)) return correlate_depthwise(stencil, from, to, sums);
    const int tap_count = int(stencil.taps.size());
    const int most = rows_of_band(stencil.columns);
    Band band{};
    band.columns = stencil.columns;
    band.from_row = stencil.from.row;
    band.from_column = stencil.from.column;
    band.to_row = stencil.to.row;
    band.to_column = stencil.to.column;
    band.to_channel = stencil.to.channel;
    band.sums_channel = std::ptrdiff_t(tap_count) * LANES;
    for (int group = 0; group < stencil.groups; ++group) {
        const float* const inputs =
            from + stencil.from.first + group * stencil.inputs * stencil.from.channel;
        for (int y = 0; y < stencil.rows; y += most) {
            int output = group * stencil.outputs;
            band.rows = std::min(most, stencil.rows - y);
            band.from = inputs + y * stencil.from.row;
            for (const int outputs : stencil.blocks) {
                band.to = to + stencil.to.first + y * stencil.to.row + output * stencil.to.channel;
                band.taps = stencil.taps.data();
                band.sums = sums + output * band.sums_channel;
                multiply(band, outputs, tap_count);
                output += outputs;
            }
        }
    }
}
