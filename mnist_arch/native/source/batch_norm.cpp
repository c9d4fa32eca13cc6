#include "batch_norm.h"

#include <cmath>
#include <type_traits>

#include "kernels.h"

namespace {

/// Calls work(std::true_type) or work(std::false_type), so that inner loops are without the question.
template <typename Work>
void chosen(bool flag, Work work) {
    flag ? work(std::true_type{}) : work(std::false_type{});
}

/// The larger as torch's max pool chooses: the first of equals, and what is not a number.
Mask beats(Vector x, Vector best) { return (x > best) | (x != x); }

}  // namespace

BatchNorm::BatchNorm(const Batch& batch, const Parameters& parameters, const Running& running,
                     Port input, Port output, Options options)
    : batch_(batch), parameters_(parameters), running_(running), input_(input), output_(output),
      options_(options) {
    const std::size_t channels = input.value.channels;
    const int parts = std::min(options.parts, batch.images);
    channels_.resize(parts * channels);
    moments_.resize((parts == 1 ? batch.groups() : batch.images) * channels);
    sums_.resize(moments_.size());
}

// A part has two values of each channel, or there are fewer parts.
void BatchNorm::prepare() {
    const int most = input_.value.pixels() > 1 ? batch_.images : batch_.images / 2;
    parts_ = batch_.trains ? std::max(1, std::min(options_.parts, most)) : 1;
    if (batch_.trains) return;
    for (int c = 0; c < input_.value.channels; ++c)
        set(0, c, running_.mean[c], running_.variance[c]);
}

void BatchNorm::set(int part, int channel, double mean, double variance) {
    Channel& it = channels_[std::size_t(part) * input_.value.channels + channel];
    const bool has_scale = options_.scale >= 0;
    it.mean = float(mean);
    it.rest = mean - it.mean;
    it.reciprocal = float(1 / std::sqrt(variance + options_.epsilon));
    it.factor = has_scale ? parameters_.value(options_.scale)[channel] * it.reciprocal
                          : it.reciprocal;
    const float shift = has_scale ? parameters_.value(options_.shift)[channel] : 0;
    it.offset = float(shift - mean * it.factor);
}

Vector BatchNorm::in_lanes(int group, int channel, float Channel::*number) const {
    if (parts_ == 1) return all(channels_[channel].*number);
    Vector found{};
    for (int lane = 0; lane < LANES; ++lane) {
        const int part = (group * LANES + lane) % parts_;
        found[lane] = channels_[std::size_t(part) * input_.value.channels + channel].*number;
    }
    return found;
}

// ------------------------------------------------------------------------------------- statistics

void BatchNorm::sum_up(int group, int channel, float* sums) const {
    const Map& in = input_.value;
    const Vector first = load(in.at(group, channel));
    start_sums(sums, first);
    for (int y = 0; y < in.height; ++y) {
        const float* const row = in.at(group, channel, y);
        Vector total{}, squares{};
        for (int x = 0; x < in.width * LANES; x += LANES) {
            const Vector distance = load(row + x) - first;
            total = total + distance;
            squares = fma(distance, distance, squares);
        }
        add_row(sums, total, squares);
    }
}

// Each lane has the sums of its distances to its own first pixel, which lose no digits where the
// mean is far from 0; lanes and blocks are put together as Chan et al. 1983 have it.
void BatchNorm::collect(int group) {
    const int channels = input_.value.channels, lanes = batch_.lanes(group);
    const double pixels = input_.value.pixels();
    for (int c = 0; c < channels; ++c) {
        float* const sums = options_.sums + (std::ptrdiff_t(group) * channels + c) * 3 * LANES;
        if (!options_.input_sums) sum_up(group, c, sums);
        double means[LANES], mean = 0, squares = 0;
        for (int lane = 0; lane < lanes; ++lane) {
            const double distance = sums[LANES + lane] / pixels;
            const double own = sums[2 * LANES + lane] - pixels * distance * distance;
            means[lane] = sums[lane] + distance;
            mean += means[lane] / lanes;
            squares += own;
            if (parts_ > 1)
                moments_[std::size_t(group * LANES + lane) * channels + c] = {means[lane], own};
        }
        if (parts_ > 1) continue;
        for (int lane = 0; lane < lanes; ++lane)
            squares += pixels * (means[lane] - mean) * (means[lane] - mean);
        moments_[std::size_t(group) * channels + c] = {mean, squares};
    }
}

void BatchNorm::settle() {
    for (int c = 0; c < input_.value.channels; ++c) settle(c);
    ++*running_.batches;
}

// The running statistics move towards the means of those of the parts.
void BatchNorm::settle(int channel) {
    const int channels = input_.value.channels;
    const double pixels = input_.value.pixels();
    double means = 0, variances = 0;
    for (int part = 0; part < parts_; ++part) {
        const int images = images_of_part(part);
        const double count = pixels * images;
        double mean = 0, squares = 0;
        for (int block = part; block < blocks(); block += parts_)
            mean += moments_[std::size_t(block) * channels + channel].mean * images_of_block(block);
        mean /= images;
        for (int block = part; block < blocks(); block += parts_) {
            const Moments& it = moments_[std::size_t(block) * channels + channel];
            const double distance = it.mean - mean;
            squares += it.squares + pixels * images_of_block(block) * distance * distance;
        }
        squares = std::isnan(squares) ? squares : std::max(squares, 0.0);
        set(part, channel, mean, squares / count);
        means += mean / parts_;
        variances += squares / (count - 1) / parts_;
    }
    float &mean = running_.mean[channel], &variance = running_.variance[channel];
    mean += float(options_.momentum * (means - mean));
    variance += float(options_.momentum * (variances - variance));
}

// ---------------------------------------------------------------------------------------- forward

void BatchNorm::forward(int group, float*) {
    chosen(options_.rectifies, [&](auto rectifies) {
        if (options_.pools) return apply_and_pool<rectifies>(group);
        chosen(options_.term.value.data, [&](auto adds) { apply<rectifies, adds>(group); });
    });
}

template <bool RECTIFIES, bool ADDS>
void BatchNorm::apply(int group) const {
    const Map &in = input_.value, &out = output_.value, &term = options_.term.value;
    const float slope = options_.slope;
    for (int c = 0; c < in.channels; ++c) {
        const Vector factor = in_lanes(group, c, &Channel::factor);
        const Vector offset = in_lanes(group, c, &Channel::offset);
        for (int y = 0; y < in.height; ++y) {
            const float* const from = in.at(group, c, y);
            const float* const added = ADDS ? term.at(group, c, y) : nullptr;
            float* const to = out.at(group, c, y);
            for (int x = 0; x < in.width * LANES; x += LANES) {
                Vector value = fma(load(from + x), factor, offset);
                if (RECTIFIES) value = rectified(value, slope);
                if (ADDS) value = value + load(added + x);
                store(to + x, value);
            }
        }
    }
}

template <bool RECTIFIES>
void BatchNorm::apply_and_pool(int group) const {
    const Map &in = input_.value, &out = output_.value;
    const float slope = options_.slope;
    const std::ptrdiff_t below = in.row();
    for (int c = 0; c < in.channels; ++c) {
        const Vector factor = in_lanes(group, c, &Channel::factor);
        const Vector offset = in_lanes(group, c, &Channel::offset);
        for (int y = 0; y < out.height; ++y) {
            const float* from = in.at(group, c, 2 * y);
            float* to = out.at(group, c, y);
            for (int x = 0; x < out.width; ++x, from += 2 * LANES, to += LANES) {
                Vector best = fma(load(from), factor, offset);
                for (const std::ptrdiff_t place : {std::ptrdiff_t(LANES), below, below + LANES}) {
                    const Vector normed = fma(load(from + place), factor, offset);
                    best = beats(normed, best) ? normed : best;
                }
                store(to, RECTIFIES ? rectified(best, slope) : best);
            }
        }
    }
}

// --------------------------------------------------------------------------------------- backward

/// Calls visit(pixel of the input, gradient after the norm, y, offset in the row, 0 or 1) for all
/// pixels under a window, or for all where nothing is pooled; and end_row() after each row of
/// gradients. Neighbours have 0 and 1 in turn: a sum of each does not wait for the one before it.
template <bool RECTIFIES, bool POOLS, typename Visit, typename End>
IN_LINE inline void BatchNorm::visit(int group, int channel, Visit visit, End end_row) const {
    const Map &in = input_.value, &out = output_.value, &change = output_.gradient;
    const float slope = options_.slope;
    const Vector factor = in_lanes(group, channel, &Channel::factor);
    const Vector offset = in_lanes(group, channel, &Channel::offset);
    const std::ptrdiff_t below = in.row();
    const int width = out.width * LANES;
    for (int y = 0; y < out.height; ++y) {
        const float* const gradients = change.at(group, channel, y);
        const float* const from = in.at(group, channel, POOLS ? 2 * y : y);
        if constexpr (POOLS) {
            for (int x = 0; x < width; x += LANES) {
                const auto place = [&](int k) IN_LINE {
                    return 2 * x + (k & 1) * LANES + (k >> 1) * below;
                };
                Vector value[4], gradient = load(gradients + x);
                each<4>([&](auto k) IN_LINE { value[k] = load(from + place(k)); });
                Vector best = fma(value[0], factor, offset);
                Mask winner{};
                each<3>([&](auto before) IN_LINE {
                    constexpr int k = before + 1;
                    const Vector normed = fma(value[k], factor, offset);
                    const Mask wins = beats(normed, best);
                    best = wins ? normed : best;
                    winner = wins ? Mask{} + k : winner;
                });
                if (RECTIFIES) gradient = through_rectifier(gradient, best, slope);
                each<4>([&](auto k) IN_LINE {
                    visit(value[k], winner == int(k) ? gradient : Vector{}, 2 * y + (k >> 1),
                          2 * x + (k & 1) * LANES, k & 1);
                });
            }
        } else {
            const auto pixel = [&](int x, int turn) IN_LINE {
                const Vector value = load(from + x);
                Vector gradient = load(gradients + x);
                if (RECTIFIES)
                    gradient = through_rectifier(gradient, fma(value, factor, offset), slope);
                visit(value, gradient, y, x, turn);
            };
            int x = 0;
            for (; x + LANES < width; x += 2 * LANES) {
                pixel(x, 0);
                pixel(x + LANES, 1);
            }
            if (x < width) pixel(x, 0);
        }
        end_row();
    }
}

void BatchNorm::collect_backward(int group) {
    chosen(options_.rectifies, [&](auto rectifies) {
        chosen(options_.pools, [&](auto pools) { collect_gradients<rectifies, pools>(group); });
    });
}

template <bool RECTIFIES, bool POOLS>
void BatchNorm::collect_gradients(int group) {
    const int channels = input_.value.channels;
    for (int c = 0; c < channels; ++c) {
        const Vector mean = in_lanes(group, c, &Channel::mean);
        Vector total{}, product{}, row_total[2]{}, row_product[2]{};
        const auto add = [&](Vector value, Vector gradient, int, int, int turn) IN_LINE {
            row_total[turn] = row_total[turn] + gradient;
            row_product[turn] = fma(gradient, value - mean, row_product[turn]);
        };
        const auto end_row = [&]() IN_LINE {
            total = total + (row_total[0] + row_total[1]);
            product = product + (row_product[0] + row_product[1]);
            row_total[0] = row_total[1] = row_product[0] = row_product[1] = Vector{};
        };
        visit<RECTIFIES, POOLS>(group, c, add, end_row);
        if (parts_ == 1)
            sums_[std::size_t(group) * channels + c] = {sum(total), sum(product)};
        else
            for (int lane = 0; lane < batch_.lanes(group); ++lane)
                sums_[std::size_t(group * LANES + lane) * channels + c] = {total[lane], product[lane]};
    }
}

void BatchNorm::settle_backward() {
    const int channels = input_.value.channels;
    for (int c = 0; c < channels; ++c) {
        double scaled = 0, shifted = 0;
        for (int part = 0; part < parts_; ++part) {
            Channel& it = channels_[std::size_t(part) * channels + c];
            const double count = double(input_.value.pixels()) * images_of_part(part);
            double total = 0, product = 0;
            for (int block = part; block < blocks(); block += parts_) {
                const Sums& sums = sums_[std::size_t(block) * channels + c];
                total += sums.gradient;
                product += sums.product;
            }
            // Where the mean is far larger than the deviation, its rounding would be felt.
            const double through = (product - it.rest * total) * it.reciprocal;
            const double slope = it.factor * through * it.reciprocal / count;
            it.slope = float(slope);
            it.away = float(it.factor * total / count - it.rest * slope);
            scaled += through;
            shifted += total;
        }
        if (options_.scale < 0) continue;
        parameters_.gradient(0, options_.scale)[c] += float(scaled);
        parameters_.gradient(0, options_.shift)[c] += float(shifted);
    }
}

void BatchNorm::backward(int group, float*) {
    chosen(options_.rectifies, [&](auto rectifies) {
        chosen(options_.pools, [&](auto pools) {
            chosen(options_.masks_input, [&](auto masks) {
                input_gradient<rectifies, pools, masks>(group);
            });
        });
    });
    const Port& term = options_.term;
    if (term.wanted() && term.gradient.data != output_.gradient.data) term_gradient(group);
}

template <bool RECTIFIES, bool POOLS, bool MASKS>
void BatchNorm::input_gradient(int group) const {
    const Map &in = input_.value, &change = input_.gradient;
    const Mask images = first_lanes(batch_.lanes(group));
    const float input_slope = options_.input_slope;
    float* const bias =
        options_.bias < 0 ? nullptr : parameters_.gradient(group, options_.bias);
    for (int c = 0; c < in.channels; ++c) {
        const Vector factor = in_lanes(group, c, &Channel::factor);
        const Vector mean = in_lanes(group, c, &Channel::mean);
        const Vector slope = in_lanes(group, c, &Channel::slope);
        const Vector away = in_lanes(group, c, &Channel::away);
        const std::ptrdiff_t row = change.row();
        float* const to = change.at(group, c);
        Vector total{}, row_total[2]{};
        const auto pass = [&](Vector value, Vector gradient, int y, int x, int turn) IN_LINE {
            Vector through = fma(gradient, factor, -fma(value - mean, slope, away));
            if (MASKS) through = through_rectifier(through, value, input_slope);
            through = images ? through : Vector{};
            row_total[turn] = row_total[turn] + through;
            store(to + y * row + x, through);
        };
        const auto end_row = [&]() IN_LINE {
            total = total + (row_total[0] + row_total[1]);
            row_total[0] = row_total[1] = Vector{};
        };
        visit<RECTIFIES, POOLS>(group, c, pass, end_row);
        if (POOLS) {  // an odd last row and column, which no window covers
            const int high = in.height / 2 * 2, wide = in.width / 2 * 2;
            for (int y = 0; y < in.height; ++y)
                for (int x = y < high ? wide : 0; x < in.width; ++x)
                    pass(load(in.at(group, c, y) + x * LANES), Vector{}, y, x * LANES, 0);
            end_row();
        }
        if (bias) bias[c] += sum(total);
    }
}

void BatchNorm::term_gradient(int group) const {
    const Map &from = output_.gradient, &to = options_.term.gradient;
    for (int c = 0; c < to.channels; ++c)
        for (int y = 0; y < to.height; ++y)
            for (int x = 0; x < to.width * LANES; x += LANES)
                put(to.at(group, c, y) + x, load(from.at(group, c, y) + x), options_.term.adds);
}
