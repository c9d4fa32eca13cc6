#include "group_norm.h"

namespace {

constexpr float ONE = 1, ZERO = 0;  // scale and shift of a norm that has none

/// The sum of term(channel, y, offset in the row) over channels: rows apart, since a long sum of short
/// ones loses fewer digits.
template <typename Term>
Vector sum_over(const Map& map, int first, int last, Term term) {
    Vector total{};
    for (int c = first; c < last; ++c)
        for (int y = 0; y < map.height; ++y) {
            Vector row{};
            for (int x = 0; x < map.width * LANES; x += LANES) row = row + term(c, y, x);
            total = total + row;
        }
    return total;
}

}  // namespace

GroupNorm::GroupNorm(const Parameters& parameters, Port input, Port output, Map statistics,
                     Options options)
    : parameters_(parameters), input_(input), output_(output), options_(options),
      members_(input.value.channels / options.groups), statistics_(statistics) {
    const std::int64_t scales = options.scale < 0 ? 0 : parameters.tensors[options.scale].size;
    const bool by_value = scales > input.value.channels;
    if (by_value) pixel_step_ = 1;
    if (scales > 1) channel_step_ = by_value ? input.value.pixels() : 1;
}

/// Of the scale and the shift of a pixel.
std::ptrdiff_t GroupNorm::place(int channel, int y, int x) const {
    return channel * channel_step_ + (y * input_.value.width + x / LANES) * pixel_step_;
}

void GroupNorm::forward(int group, float*) {
    const Map &in = input_.value, &out = output_.value;
    const float count = float(members_) * in.pixels();
    const float* const scales = options_.scale < 0 ? &ONE : parameters_.value(options_.scale);
    const float* const shifts = options_.scale < 0 ? &ZERO : parameters_.value(options_.shift);
    for (int index = 0; index < options_.groups; ++index) {
        const int first = index * members_, last = first + members_;
        const auto value = [&](int c, int y, int x) { return load(in.at(group, c, y) + x); };
        const Vector about = sum_over(in, first, last, value) / count;
        const auto beside = [&](int c, int y, int x) { return value(c, y, x) - about; };
        const Vector mean = about + sum_over(in, first, last, beside) / count;
        const Vector squares = sum_over(in, first, last, [&](int c, int y, int x) {
            const Vector distance = value(c, y, x) - mean;
            return distance * distance;
        });
        const Vector reciprocal = 1.0f / square_root(squares / count + options_.epsilon);
        store(statistics_.at(group, 2 * index), mean);
        store(statistics_.at(group, 2 * index + 1), reciprocal);
        for (int c = first; c < last; ++c)
            over_channel(in, [&](int y, int x) {
                const std::ptrdiff_t own = place(c, y, x);
                const Vector normed = (value(c, y, x) - mean) * reciprocal;
                store(out.at(group, c, y) + x, fma(normed, all(scales[own]), all(shifts[own])));
            });
    }
}

void GroupNorm::backward(int group, float*) {
    const Map &in = input_.value, &change = output_.gradient, &to = input_.gradient;
    const float count = float(members_) * in.pixels();
    const float* const scales = options_.scale < 0 ? &ONE : parameters_.value(options_.scale);
    for (int index = 0; index < options_.groups; ++index) {
        const int first = index * members_, last = first + members_;
        const Vector mean = load(statistics_.at(group, 2 * index));
        const Vector reciprocal = load(statistics_.at(group, 2 * index + 1));
        const auto gradient = [&](int c, int y, int x) { return load(change.at(group, c, y) + x); };
        const auto normed = [&](int c, int y, int x) {
            return (load(in.at(group, c, y) + x) - mean) * reciprocal;
        };
        Vector through{}, along{};
        for (int c = first; c < last; ++c) {
            const Sums sums = pixel_step_ ? value_gradients(group, c, gradient, normed)
                                          : channel_gradients(group, c, gradient, normed);
            through = through + sums.gradient;
            along = along + sums.product;
        }
        through = through / count;
        along = along / count;
        for (int c = first; c < last; ++c)
            over_channel(in, [&](int y, int x) {
                const Vector scaled = gradient(c, y, x) * scales[place(c, y, x)];
                put(to.at(group, c, y) + x,
                    (scaled - through - normed(c, y, x) * along) * reciprocal, input_.adds);
            });
    }
}

/// The gradients of a channel's scale and shift, if it has any.
template <typename Gradient, typename Normed>
GroupNorm::Sums GroupNorm::channel_gradients(int group, int channel, Gradient gradient,
                                             Normed normed) const {
    const Map& in = input_.value;
    const Vector shifted = sum_over(in, channel, channel + 1, gradient);
    const Vector scaled = sum_over(in, channel, channel + 1, [&](int c, int y, int x) {
        return gradient(c, y, x) * normed(c, y, x);
    });
    if (options_.scale < 0) return {shifted, scaled};
    const std::ptrdiff_t own = place(channel, 0, 0);
    const Vector scale = all(parameters_.value(options_.scale)[own]);
    parameters_.gradient(group, options_.scale)[own] += sum(scaled);
    parameters_.gradient(group, options_.shift)[own] += sum(shifted);
    return {shifted * scale, scaled * scale};
}

/// Those of the scales and shifts of a channel's values.
template <typename Gradient, typename Normed>
GroupNorm::Sums GroupNorm::value_gradients(int group, int channel, Gradient gradient,
                                           Normed normed) const {
    const Map& in = input_.value;
    const float* const scales = parameters_.value(options_.scale);
    float* const scale_gradients = parameters_.gradient(group, options_.scale);
    float* const shift_gradients = parameters_.gradient(group, options_.shift);
    over_channel(in, [&](int y, int x) {
        const std::ptrdiff_t own = place(channel, y, x);
        scale_gradients[own] += sum(gradient(channel, y, x) * normed(channel, y, x));
        shift_gradients[own] += sum(gradient(channel, y, x));
    });
    const auto scaled = [&](int c, int y, int x) {
        return gradient(c, y, x) * scales[place(c, y, x)];
    };
    return {sum_over(in, channel, channel + 1, scaled),
            sum_over(in, channel, channel + 1,
                     [&](int c, int y, int x) { return scaled(c, y, x) * normed(c, y, x); })};
}
