#include "winograd.h"

#include <algorithm>

#include "kernels.h"

namespace {

constexpr int FREQUENCIES = 16;

/// Floats by which frequencies lie further apart than their tiles take: a line of a cache. With a power
/// of two between them, those of a tile would take the same few places of it.
constexpr std::ptrdiff_t APART = 16;

int tiles_along(int side) { return (side + 1) / 2; }

/// Rows of frequencies whose sums of products are kept together: all where they take up to 1 MiB, about
/// half of a core's second cache.
int rows_at_once(std::ptrdiff_t pairs) {
    const std::ptrdiff_t bytes = FREQUENCIES * pairs * LANES * std::ptrdiff_t(sizeof(float));
    return bytes <= 1 << 20 ? 4 : 1;
}

int rows_of_strip(const Map& map, int tiles) {
    const int wide = tiles_along(map.width);
    return std::clamp((tiles + wide - 1) / wide, 1, tiles_along(map.height));
}

/// One row of Bᵀ x B for a row of tiles: `upper` and `lower` are the rows of pixels whose sum or
/// difference it is made of. Tiles overlap, so each takes over two pixels of the one before.
template <bool ADDS>
void row_to_frequencies(const float* upper, const float* lower, int tiles, float* to,
                        std::ptrdiff_t frequency) {
    const auto pixel = [&](int x) {
        const Vector a = load(upper + x * LANES), b = load(lower + x * LANES);
        return ADDS ? a + b : a - b;
    };
    Vector a = pixel(0), b = pixel(1);
    for (int tile = 0; tile < tiles; ++tile, to += LANES) {
        const Vector c = pixel(2 * tile + 2), d = pixel(2 * tile + 3);
        store(to, a - c);
        store(to + frequency, b + c);
        store(to + 2 * frequency, c - b);
        store(to + 3 * frequency, b - d);
        a = c;
        b = d;
    }
}

/// Aᵀ x A: the four pixels of a tile from its frequencies.
IN_LINE inline void to_pixels(const float* x, std::ptrdiff_t frequency, Vector (&pixel)[4]) {
    Vector upper[4], lower[4];
    each<4>([&](auto column) IN_LINE {
        const Vector a = load(x + column * frequency), b = load(x + (4 + column) * frequency);
        const Vector c = load(x + (8 + column) * frequency), d = load(x + (12 + column) * frequency);
        upper[column] = a + b + c;
        lower[column] = b - c - d;
    });
    pixel[0] = upper[0] + upper[1] + upper[2];
    pixel[1] = upper[1] - upper[2] - upper[3];
    pixel[2] = lower[0] + lower[1] + lower[2];
    pixel[3] = lower[1] - lower[2] - lower[3];
}

/// Two rows of pixels of a channel, or the last one.
struct Pixels {
    float* first;
    std::ptrdiff_t row;
    int width, height;

    /// Writes them from the frequencies of a row of tiles.
    template <bool ADDS, bool SUMS>
    void write(const float* from, std::ptrdiff_t frequency, Vector bias, float slope, float* sums,
               bool starts_sums) const {
        Vector sum[2]{}, squares[2]{}, start{};
        const auto finish = [&](Vector pixel, int k, int x) IN_LINE {
            float* const place = first + (k >> 1) * row + (x + (k & 1)) * LANES;
            Vector value = pixel + bias;
            if (ADDS) value = value + load(place);
            value = value < 0.0f ? value * slope : value;
            store(place, value);
            if (!SUMS) return;
            const Vector distance = value - start;
            sum[k & 1] = sum[k & 1] + distance;
            squares[k & 1] = fma(distance, distance, squares[k & 1]);
        };
        for (int x = 0; x < width; x += 2, from += LANES) {
            Vector pixel[4];
            to_pixels(from, frequency, pixel);
            if (SUMS && x == 0) {
                const Vector corner = pixel[0] + bias;
                if (starts_sums) start_sums(sums, corner < 0.0f ? corner * slope : corner);
                start = load(sums);
            }
            if (height >= 2 && x + 2 <= width) {
                each<4>([&](auto k) IN_LINE { finish(pixel[k], k, x); });
                continue;
            }
            finish(pixel[0], 0, x);
            if (x + 2 <= width) finish(pixel[1], 1, x);
            if (height >= 2) finish(pixel[2], 2, x);
        }
        if (SUMS) add_row(sums, sum[0] + sum[1], squares[0] + squares[1]);
    }
};

/// G w Gᵀ of one kernel.
void weights_to_frequencies(const float (&w)[3][3], float (&to)[4][4]) {
    float half[4][3];
    for (int column = 0; column < 3; ++column) {
        const float a = w[0][column], b = w[1][column], c = w[2][column];
        half[0][column] = a;
        half[1][column] = 0.5f * (a + b + c);
        half[2][column] = 0.5f * (a - b + c);
        half[3][column] = c;
    }
    for (int row = 0; row < 4; ++row) {
        const float a = half[row][0], b = half[row][1], c = half[row][2];
        to[row][0] = a;
        to[row][1] = 0.5f * (a + b + c);
        to[row][2] = 0.5f * (a - b + c);
        to[row][3] = c;
    }
}

/// Gᵀ x G: the gradient of a kernel from that of its frequencies.
void frequencies_to_weights(const float (&x)[4][4], float (&to)[3][3]) {
    float half[3][4];
    for (int column = 0; column < 4; ++column) {
        const float a = x[0][column], b = x[1][column], c = x[2][column], d = x[3][column];
        half[0][column] = a + 0.5f * (b + c);
        half[1][column] = 0.5f * (b - c);
        half[2][column] = 0.5f * (b + c) + d;
    }
    for (int row = 0; row < 3; ++row) {
        const float a = half[row][0], b = half[row][1], c = half[row][2], d = half[row][3];
        to[row][0] = a + 0.5f * (b + c);
        to[row][1] = 0.5f * (b - c);
        to[row][2] = 0.5f * (b + c) + d;
    }
}

}  // namespace

Winograd::Winograd(const Map& from, const Map& to, int top, int left, int tiles)
    : from_(from), to_(to), top_(top), left_(left), tiles_wide_(tiles_along(to.width)),
      tiles_high_(tiles_along(to.height)), strip_rows_(rows_of_strip(to, tiles)),
      run_(std::ptrdiff_t(strip_rows_) * tiles_wide_ * LANES), blocks_(blocks_of(to.channels)),
      weights_(std::size_t(FREQUENCIES) * from.channels * to.channels) {
    for (int c = 0; c < from.channels; ++c) taps_.push_back(int(c * run_));
}

std::size_t Winograd::scratch(int inputs, int outputs, const Map& to, int tiles) {
    const std::size_t run = std::size_t(tiles_along(to.width)) * rows_of_strip(to, tiles) * LANES;
    const std::size_t pairs = std::size_t(inputs) * outputs;
    return 4 * (run * inputs + APART) + FREQUENCIES * (run * outputs + APART + pairs) +
           4 * rows_at_once(pairs) * pairs * LANES;
}

void Winograd::pack(const float* weights, const std::vector<int>& places) {
    const int inputs = from_.channels;
    int first = 0;
    for (const int outputs : blocks_) {
        for (int o = 0; o < outputs; ++o)
            for (int c = 0; c < inputs; ++c) {
                const int* const place = &places[std::size_t((first + o) * inputs + c) * 9];
                float w[3][3], x[4][4];
                for (int k = 0; k < 9; ++k) w[k / 3][k % 3] = weights[place[k]];
                weights_to_frequencies(w, x);
                for (int f = 0; f < FREQUENCIES; ++f)
                    weights_[std::size_t(f * to_.channels + first) * inputs + c * outputs + o] =
                        x[f / 4][f % 4];
            }
        first += outputs;
    }
}

std::ptrdiff_t Winograd::apart(int channels) const { return channels * run_ + APART; }

Winograd::Strip Winograd::strip(int first) const {
    const int last = std::min(first + strip_rows_, tiles_high_);
    return {first, last, (last - first) * tiles_wide_};
}

// One row of frequencies, [4][input][tile].
void Winograd::read_row(int group, const Strip& strip, int k, float* frequencies) const {
    const std::ptrdiff_t row = from_.row(), step = apart(from_.channels);
    constexpr int UPPER[] = {0, 1, 2, 1}, LOWER[] = {2, 2, 1, 3};
    for (int c = 0; c < from_.channels; ++c)
        for (int y = strip.first; y < strip.last; ++y) {
            const float* const pixels = from_.at(group, c, 2 * y - top_) - left_ * LANES;
            float* const to = frequencies + c * run_ + (y - strip.first) * tiles_wide_ * LANES;
            const float *const upper = pixels + UPPER[k] * row, *const lower = pixels + LOWER[k] * row;
            if (k == 1)
                row_to_frequencies<true>(upper, lower, tiles_wide_, to, step);
            else
                row_to_frequencies<false>(upper, lower, tiles_wide_, to, step);
        }
}

// The sums of the two rows of pixels of each tile, or their differences: [output][row][column].
void Winograd::combine_rows(int group, const Strip& strip, bool adds, float* to) const {
    for (int o = 0; o < to_.channels; ++o)
        for (int y = strip.first; y < strip.last; ++y, to += 2 * tiles_wide_ * LANES) {
            const float* const a = to_.at(group, o, 2 * y);
            const float* const b = a + to_.row();
            for (int x = 0; x < 2 * tiles_wide_ * LANES; x += LANES)
                store(to + x, adds ? load(a + x) + load(b + x) : load(a + x) - load(b + x));
        }
}

// From [frequency][output][tile].
void Winograd::write(int group, const Strip& strip, const float* frequencies,
                     const Epilogue& epilogue) const {
    const std::ptrdiff_t step = apart(to_.channels);
    const float slope = epilogue.rectifies ? epilogue.slope : 1;
    for (int channel = 0; channel < to_.channels; ++channel) {
        const float* from = frequencies + channel * run_;
        const Vector bias = epilogue.bias ? all(epilogue.bias[channel]) : Vector{};
        float* const sums = epilogue.sums ? epilogue.sums + channel * 3 * LANES : nullptr;
        for (int y = 2 * strip.first; y < 2 * strip.last; y += 2, from += tiles_wide_ * LANES) {
            const Pixels pixels{to_.at(group, channel, y), to_.row(), to_.width,
                                std::min(2, to_.height - y)};
            if (epilogue.adds)
                pixels.write<true, false>(from, step, bias, slope, nullptr, false);
            else if (sums)
                pixels.write<false, true>(from, step, bias, slope, sums, y == 0);
            else
                pixels.write<false, false>(from, step, bias, slope, nullptr, false);
        }
    }
}

// A row of frequencies after the other, which take the same few places of the nearest cache.
void Winograd::apply(int group, const Epilogue& epilogue, float* scratch) const {
    const int inputs = from_.channels;
    float* const mixed = scratch + 4 * apart(inputs);
    for (int first = 0; first < tiles_high_; first += strip_rows_) {
        const Strip strip = this->strip(first);
        const float* weights = weights_.data();
        for (int f = 0; f < FREQUENCIES; ++f) {
            if (f % 4 == 0) read_row(group, strip, f / 4, scratch);
            const float* const from = scratch + f % 4 * apart(inputs);
            float* to = mixed + f * apart(to_.channels);
            for (const int outputs : blocks_) {
                mix({from, run_, inputs, weights, to, run_, strip.tiles}, outputs);
                weights += inputs * outputs;
                to += outputs * run_;
            }
        }
        write(group, strip, mixed, epilogue);
    }
}

// The pixels of a strip stay in a cache for all rows of frequencies, where the sums of all leave room for
// them; else they are read again for each row. The first and the last column of A x Aᵀ are pixels as they
// are, up to a sign, and those between the sum of two pixels and their difference: so these are made when
// they are multiplied, and never written.
void Winograd::correlate(int group, const std::vector<int>& places, float* gradient,
                         float* scratch) const {
    const int inputs = from_.channels, outputs = to_.channels, pairs = inputs * outputs;
    const int rows = rows_at_once(pairs);
    float* const changes = scratch + 4 * apart(inputs);
    float* const sums = changes + 2 * outputs * run_;  // [row][column][output][input][lane]
    float* const totals = sums + std::ptrdiff_t(4) * rows * pairs * LANES;  // [frequency][pair]
    Band band{};
    band.taps = taps_.data();
    band.columns = tiles_wide_;
    band.from_row = tiles_wide_ * LANES;
    band.from_column = LANES;
    band.to_column = 2 * LANES;
    band.sums_channel = std::ptrdiff_t(inputs) * LANES;
    for (int top = 0; top < 4; top += rows) {
        std::fill_n(sums, std::ptrdiff_t(4) * rows * pairs * LANES, 0.0f);
        for (int first = 0; first < tiles_high_; first += strip_rows_) {
            const Strip strip = this->strip(first);
            band.rows = strip.last - strip.first;
            band.sums = sums;
            for (int k = top; k < top + rows; ++k) {
                read_row(group, strip, k, scratch);
                const bool combines = k == 1 || k == 2;
                if (combines) combine_rows(group, strip, k == 1, changes);
                const float* const pixels =
                    combines ? changes : to_.at(group, 0, 2 * strip.first + (k == 3));
                band.to_row = 2 * (combines ? tiles_wide_ * LANES : to_.row());
                band.to_channel = combines ? band.rows * band.to_row : to_.plane();
                for (int f = 0; f < 4; ++f) {
                    band.from = scratch + f * apart(inputs);
                    band.to = f == 3 ? pixels + LANES : pixels;
                    band.next = f == 1 ? 1 : f == 2 ? -1 : 0;
                    for (const int size : blocks_) {
                        multiply(band, size, inputs);
                        band.to += size * band.to_channel;
                        band.sums += size * band.sums_channel;
                    }
                }
            }
        }
        float* const to = totals + 4 * top * pairs;
        for (int index = 0; index < 4 * rows * pairs; ++index)
            to[index] = sum(load(sums + std::ptrdiff_t(index) * LANES));
    }
    for (int pair = 0; pair < pairs; ++pair) {
        float x[4][4], w[3][3];
        for (int f = 0; f < FREQUENCIES; ++f) {
            const float total = totals[f * pairs + pair];
            x[f / 4][f % 4] = (f / 4 == 3) != (f % 4 == 3) ? -total : total;
        }
        frequencies_to_weights(x, w);
        for (int k = 0; k < 9; ++k) gradient[places[std::size_t(pair) * 9 + k]] += w[k / 3][k % 3];
    }
}
