#include "winograd.h"

#include <algorithm>

#include "kernels.h"

namespace {

constexpr int FREQUENCIES = 16;

int rows_of_strip(int side, int tiles) {
    const int rows = (side + 1) / 2;
    return std::clamp((tiles + rows - 1) / rows, 1, rows);
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

/// One row of A x Aᵀ for a row of tiles: what the gradient of pixels is to the products.
template <typename Pixel>
void changes_to_frequencies(Pixel pixel, int tiles, float* to, std::ptrdiff_t frequency) {
    for (int tile = 0; tile < tiles; ++tile, to += LANES) {
        const Vector a = pixel(2 * tile), b = pixel(2 * tile + 1);
        store(to, a);
        store(to + frequency, a + b);
        store(to + 2 * frequency, a - b);
        store(to + 3 * frequency, -b);
    }
}

/// Aᵀ x A: the four pixels of a tile from its frequencies.
inline void to_pixels(const float* x, std::ptrdiff_t frequency, Vector (&pixel)[2][2]) {
    Vector upper[4], lower[4];
    for (int column = 0; column < 4; ++column) {
        const Vector a = load(x + column * frequency), b = load(x + (4 + column) * frequency);
        const Vector c = load(x + (8 + column) * frequency), d = load(x + (12 + column) * frequency);
        upper[column] = a + b + c;
        lower[column] = b - c - d;
    }
    pixel[0][0] = upper[0] + upper[1] + upper[2];
    pixel[0][1] = upper[1] - upper[2] - upper[3];
    pixel[1][0] = lower[0] + lower[1] + lower[2];
    pixel[1][1] = lower[1] - lower[2] - lower[3];
}

/// Two rows of pixels of a channel, or the last one.
struct Pixels {
    float* first;
    std::ptrdiff_t row;
    int width, height;

    /// Writes them from the frequencies of a row of tiles.
    void write(const float* from, std::ptrdiff_t frequency, const Epilogue& epilogue, int channel,
               bool starts_sums) const {
        const Vector bias = epilogue.bias ? all(epilogue.bias[channel]) : Vector{};
        float* const sums = epilogue.sums ? epilogue.sums + channel * 3 * LANES : nullptr;
        const bool adds = epilogue.adds;
        const float slope = epilogue.rectifies ? epilogue.slope : 1;
        Vector sum{}, squares{};
        for (int x = 0; x < width; x += 2, from += LANES) {
            Vector pixel[2][2];
            to_pixels(from, frequency, pixel);
            float* const to = first + x * LANES;
            const int wide = std::min(2, width - x), high = height;
            if (x == 0 && sums && starts_sums) {
                const Vector corner = pixel[0][0] + bias;
                start_sums(sums, corner < 0.0f ? corner * slope : corner);
            }
            for (int k = 0; k < 4; ++k) {
                if (k / 2 >= high || k % 2 >= wide) continue;
                float* const place = to + k / 2 * row + k % 2 * LANES;
                Vector value = pixel[k / 2][k % 2] + bias;
                if (adds) value = value + load(place);
                value = value < 0.0f ? value * slope : value;
                store(place, value);
                pixel[k / 2][k % 2] = value;
            }
            if (!sums) continue;
            const Vector corner = load(sums);
            for (int k = 0; k < 4; ++k) {
                if (k / 2 >= high || k % 2 >= wide) continue;
                const Vector distance = pixel[k / 2][k % 2] - corner;
                sum = sum + distance;
                squares = fma(distance, distance, squares);
            }
        }
        if (sums) add_row(sums, sum, squares);
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

Winograd::Winograd(const Map& from, const Map& to, int padding, int tiles)
    : from_(from), to_(to), padding_(padding), tiles_wide_((to.width + 1) / 2),
      tiles_high_((to.height + 1) / 2), strip_rows_(rows_of_strip(to.width, tiles)),
      run_(std::ptrdiff_t(strip_rows_) * tiles_wide_ * LANES), blocks_(blocks_of(to.channels)),
      weights_(std::size_t(FREQUENCIES) * from.channels * to.channels) {
    for (int c = 0; c < from.channels; ++c) taps_.push_back(int(c * run_));
}

std::size_t Winograd::scratch(int inputs, int outputs, int side, int tiles) {
    const std::size_t run = std::size_t((side + 1) / 2) * rows_of_strip(side, tiles) * LANES;
    const std::size_t sums = std::size_t(inputs) * outputs * LANES;
    return FREQUENCIES * (run * (inputs + outputs) + sums);
}

void Winograd::pack(const float* weights, const std::vector<int>& places) {
    const int inputs = from_.channels;
    int first = 0;
    float* block = weights_.data();
    for (const int outputs : blocks_) {
        for (int o = 0; o < outputs; ++o)
            for (int c = 0; c < inputs; ++c) {
                const int* const place = &places[std::size_t((first + o) * inputs + c) * 9];
                float w[3][3], x[4][4];
                for (int k = 0; k < 9; ++k) w[k / 3][k % 3] = weights[place[k]];
                weights_to_frequencies(w, x);
                for (int f = 0; f < FREQUENCIES; ++f)
                    block[(f * inputs + c) * outputs + o] = x[f / 4][f % 4];
            }
        block += FREQUENCIES * inputs * outputs;
        first += outputs;
    }
}

Winograd::Strip Winograd::strip(int first) const {
    const int last = std::min(first + strip_rows_, tiles_high_);
    return {first, last, (last - first) * tiles_wide_};
}

// [frequency][input][tile]
void Winograd::read(int group, const Strip& strip, float* frequencies) const {
    const std::ptrdiff_t row = from_.row(), step = from_.channels * run_;
    for (int c = 0; c < from_.channels; ++c)
        for (int y = strip.first; y < strip.last; ++y) {
            const float* const pixels = from_.at(group, c, 2 * y - padding_) - padding_ * LANES;
            float* const to = frequencies + c * run_ + (y - strip.first) * tiles_wide_ * LANES;
            const float *const a = pixels, *const b = a + row, *const k = b + row, *const d = k + row;
            row_to_frequencies<false>(a, k, tiles_wide_, to, step);
            row_to_frequencies<true>(b, k, tiles_wide_, to + 4 * step, step);
            row_to_frequencies<false>(k, b, tiles_wide_, to + 8 * step, step);
            row_to_frequencies<false>(b, d, tiles_wide_, to + 12 * step, step);
        }
}

// [frequency][output][tile]
void Winograd::read_changes(int group, const Strip& strip, float* frequencies) const {
    const std::ptrdiff_t step = to_.channels * run_;
    for (int o = 0; o < to_.channels; ++o)
        for (int y = strip.first; y < strip.last; ++y) {
            const float* const a = to_.at(group, o, 2 * y);
            const float* const b = a + to_.row();
            float* const to = frequencies + o * run_ + (y - strip.first) * tiles_wide_ * LANES;
            const auto transform = [&](int k, auto pixel) {
                changes_to_frequencies(pixel, tiles_wide_, to + 4 * k * step, step);
            };
            transform(0, [&](int x) { return load(a + x * LANES); });
            transform(1, [&](int x) { return load(a + x * LANES) + load(b + x * LANES); });
            transform(2, [&](int x) { return load(a + x * LANES) - load(b + x * LANES); });
            transform(3, [&](int x) { return -load(b + x * LANES); });
        }
}

// From [frequency][output of the block][tile].
void Winograd::write(int group, const Strip& strip, int output, const float* frequencies,
                     int outputs, const Epilogue& epilogue) const {
    const std::ptrdiff_t step = outputs * run_;
    for (int o = 0; o < outputs; ++o) {
        const float* from = frequencies + o * run_;
        for (int y = 2 * strip.first; y < 2 * strip.last; y += 2, from += tiles_wide_ * LANES) {
            const Pixels pixels{to_.at(group, output + o, y), to_.row(), to_.width,
                                std::min(2, to_.height - y)};
            pixels.write(from, step, epilogue, output + o, y == 0);
        }
    }
}

void Winograd::apply(int group, const Epilogue& epilogue, float* scratch) const {
    const int inputs = from_.channels;
    float* const mixed = scratch + FREQUENCIES * inputs * run_;
    for (int first = 0; first < tiles_high_; first += strip_rows_) {
        const Strip strip = this->strip(first);
        read(group, strip, scratch);
        const float* weights = weights_.data();
        int output = 0;
        for (const int outputs : blocks_) {
            for (int f = 0; f < FREQUENCIES; ++f, weights += inputs * outputs)
                mix({scratch + f * inputs * run_, run_, inputs, weights, mixed + f * outputs * run_,
                     run_, strip.tiles},
                    outputs);
            write(group, strip, output, mixed, outputs, epilogue);
            output += outputs;
        }
    }
}

void Winograd::correlate(int group, const std::vector<int>& places, float* gradient,
                         float* scratch) const {
    const int inputs = from_.channels, outputs = to_.channels;
    float* const changes = scratch + FREQUENCIES * inputs * run_;
    float* const sums = changes + FREQUENCIES * outputs * run_;
    const std::ptrdiff_t pairs = std::ptrdiff_t(inputs) * outputs * LANES;
    std::fill_n(sums, FREQUENCIES * pairs, 0.0f);
    Band band{};
    band.taps = taps_.data();
    band.rows = 1;
    band.from_column = band.to_column = LANES;
    band.to_channel = run_;
    band.sums_channel = std::ptrdiff_t(inputs) * LANES;
    for (int first = 0; first < tiles_high_; first += strip_rows_) {
        const Strip strip = this->strip(first);
        read(group, strip, scratch);
        read_changes(group, strip, changes);
        band.columns = strip.tiles;
        for (int f = 0; f < FREQUENCIES; ++f) {
            int output = 0;
            for (const int size : blocks_) {
                band.from = scratch + f * inputs * run_;
                band.to = changes + (f * outputs + output) * run_;
                band.sums = sums + f * pairs + output * band.sums_channel;
                multiply(band, size, inputs);
                output += size;
            }
        }
    }
    for (int pair = 0; pair < inputs * outputs; ++pair) {
        float x[4][4], w[3][3];
        for (int f = 0; f < FREQUENCIES; ++f)
            x[f / 4][f % 4] = sum(load(sums + f * pairs + std::ptrdiff_t(pair) * LANES));
        frequencies_to_weights(x, w);
        for (int k = 0; k < 9; ++k) gradient[places[std::size_t(pair) * 9 + k]] += w[k / 3][k % 3];
    }
}
