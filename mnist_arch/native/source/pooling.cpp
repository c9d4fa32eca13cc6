#include "pooling.h"

Pooling::Part Pooling::part(int y, int x) const {
    const Map& in = input_.value;
    const int top = y * window_.stride - window_.rows.before;
    const int left = x * window_.stride - window_.columns.before;
    return {std::max(top, 0), std::min(top + window_.rows.size, in.height), std::max(left, 0),
            std::min(left + window_.columns.size, in.width)};
}

bool Pooling::covers() const {
    const auto one_each = [&](const Axis& it, int from, int to) {
        return from == to * it.size && (to == 1 || window_.stride == it.size);
    };
    const Map &in = input_.value, &out = output_.value;
    return !input_.adds && !window_.pads() && one_each(window_.rows, in.height, out.height) &&
           one_each(window_.columns, in.width, out.width);
}

/// As torch chooses: what is not a number is larger than any.
Vector Pooling::largest(const float* channel, const Part& part) const {
    const std::ptrdiff_t row = input_.value.row();
    Vector best = load(channel + part.top * row + part.left * LANES);
    for (int y = part.top; y < part.bottom; ++y)
        for (int x = part.left; x < part.right; ++x) {
            const Vector value = load(channel + y * row + x * LANES);
            best = (value > best) | (value != value) ? value : best;
        }
    return best;
}

Vector Pooling::mean(const float* channel, const Part& part) const {
    const std::ptrdiff_t row = input_.value.row();
    Vector total{};
    for (int y = part.top; y < part.bottom; ++y) {
        Vector sum{};
        for (int x = part.left; x < part.right; ++x) sum = sum + load(channel + y * row + x * LANES);
        total = total + sum;
    }
    return total / float(window_.rows.size * window_.columns.size);
}

void Pooling::forward(int group, float*) {
    if (halves()) return halve(group);
    const Map &in = input_.value, &out = output_.value;
    for (int c = 0; c < out.channels; ++c)
        for (int y = 0; y < out.height; ++y)
            for (int x = 0; x < out.width; ++x) {
                const float* const from = in.at(group, c);
                store(out.at(group, c, y) + x * LANES,
                      averages_ ? mean(from, part(y, x)) : largest(from, part(y, x)));
            }
}

// Windows may overlap, so gradients add up; pixels that none covers have none.
void Pooling::backward(int group, float*) {
    if (!input_.wanted()) return;
    if (halves() && covers()) return halve_backward(group);
    const Map &in = input_.value, &out = output_.value, &to = input_.gradient;
    const bool covers = this->covers();
    for (int c = 0; c < out.channels; ++c) {
        if (!input_.adds && !covers)
            for (int y = 0; y < in.height; ++y)
                std::fill_n(to.at(group, c, y), in.width * LANES, 0.0f);
        for (int y = 0; y < out.height; ++y)
            for (int x = 0; x < out.width; ++x) {
                const Vector gradient = load(output_.gradient.at(group, c, y) + x * LANES);
                const Vector best = load(out.at(group, c, y) + x * LANES);
                spread(gradient, best, in.at(group, c), to.at(group, c), part(y, x), !covers);
            }
    }
}

/// The gradient of one window: to its first largest pixel, or to all alike.
void Pooling::spread(Vector gradient, Vector best, const float* from, float* to, const Part& part,
                     bool adds) const {
    const std::ptrdiff_t from_row = input_.value.row(), to_row = input_.gradient.row();
    const Vector share = gradient / float(window_.rows.size * window_.columns.size);
    Mask left = ~Mask{};  // lanes whose largest pixel was not met yet
    for (int y = part.top; y < part.bottom; ++y)
        for (int x = part.left; x < part.right; ++x) {
            float* const pixel = to + y * to_row + x * LANES;
            if (averages_) {
                put(pixel, share, adds);
                continue;
            }
            const Mask here = left & (load(from + y * from_row + x * LANES) == best);
            put(pixel, here ? gradient : Vector{}, adds);
            left &= ~here;
        }
}

// -------------------------------------------------------------------------------- the usual 2×2 maximum

namespace {

Mask is_over(Vector x, Vector best) { return (x > best) | (x != x); }

}  // namespace

void Pooling::halve(int group) const {
    const Map &in = input_.value, &out = output_.value;
    for (int c = 0; c < out.channels; ++c)
        for (int y = 0; y < out.height; ++y) {
            const float *upper = in.at(group, c, 2 * y), *lower = upper + in.row();
            float* to = out.at(group, c, y);
            for (int x = 0; x < out.width; ++x, upper += 2 * LANES, lower += 2 * LANES, to += LANES) {
                Vector best = load(upper);
                for (const float* const from : {upper + LANES, lower, lower + LANES}) {
                    const Vector value = load(from);
                    best = is_over(value, best) ? value : best;
                }
                store(to, best);
            }
        }
}

void Pooling::halve_backward(int group) const {
    const Map &in = input_.value, &out = output_.value, &to = input_.gradient;
    for (int c = 0; c < out.channels; ++c)
        for (int y = 0; y < out.height; ++y) {
            const float *const from = in.at(group, c, 2 * y), *const best = out.at(group, c, y);
            const float* const change = output_.gradient.at(group, c, y);
            float* const first = to.at(group, c, 2 * y);
            for (int x = 0; x < out.width; ++x) {
                const Vector gradient = load(change + x * LANES), largest = load(best + x * LANES);
                Mask left = ~Mask{};  // lanes whose largest pixel was not met yet
                each<4>([&](auto k) IN_LINE {
                    const std::ptrdiff_t column = (2 * x + (k & 1)) * LANES;
                    const Vector value = load(from + (k >> 1) * in.row() + column);
                    const Mask here = left & (value == largest);
                    store(first + (k >> 1) * to.row() + column, here ? gradient : Vector{});
                    left &= ~here;
                });
            }
        }
}
