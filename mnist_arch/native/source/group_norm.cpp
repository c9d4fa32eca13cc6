#include "group_norm.h"

namespace {

constexpr float GROUP_EPSILON = 1e-5f;  // as torch has it

/// Calls visit(y, offset in the row) for all pixels of a channel.
template <typename Visit>
void over_channel(const Map& map, Visit visit) {
    for (int y = 0; y < map.height; ++y)
        for (int x = 0; x < map.width * LANES; x += LANES) visit(y, x);
}

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
      members_(input.value.channels / options.groups),
      statistics_(statistics) {}

void GroupNorm::forward(int group, float*) {
    const Map &in = input_.value, &out = output_.value;
    const float count = float(members_) * in.pixels();
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
        const Vector reciprocal = 1.0f / square_root(squares / count + GROUP_EPSILON);
        store(statistics_.at(group, 2 * index), mean);
        store(statistics_.at(group, 2 * index + 1), reciprocal);
        for (int c = first; c < last; ++c) {
            const Vector scale = all(parameters_.value(options_.scale)[c]);
            const Vector shift = all(parameters_.value(options_.shift)[c]);
            over_channel(in, [&](int y, int x) {
                const Vector normed = (load(in.at(group, c, y) + x) - mean) * reciprocal;
                store(out.at(group, c, y) + x, fma(normed, scale, shift));
            });
        }
    }
}

void GroupNorm::backward(int group, float*) {
    const Map &in = input_.value, &change = output_.gradient, &to = input_.gradient;
    const float count = float(members_) * in.pixels();
    for (int index = 0; index < options_.groups; ++index) {
        const int first = index * members_, last = first + members_;
        const Vector mean = load(statistics_.at(group, 2 * index));
        const Vector reciprocal = load(statistics_.at(group, 2 * index + 1));
        Vector through{}, along{};  // sums of the normed pixels' gradient, and of that times them
        for (int c = first; c < last; ++c) {
            const auto gradient = [&](int, int y, int x) {
                return load(change.at(group, c, y) + x);
            };
            const Vector shifted = sum_over(in, c, c + 1, gradient);
            const Vector scaled = sum_over(in, c, c + 1, [&](int, int y, int x) {
                const Vector normed = (load(in.at(group, c, y) + x) - mean) * reciprocal;
                return gradient(c, y, x) * normed;
            });
            const Vector scale = all(parameters_.value(options_.scale)[c]);
            through = fma(shifted, scale, through);
            along = fma(scaled, scale, along);
            parameters_.gradient(group, options_.scale)[c] += sum(scaled);
            parameters_.gradient(group, options_.shift)[c] += sum(shifted);
        }
        through = through / count;
        along = along / count;
        for (int c = first; c < last; ++c) {
            const Vector scale = all(parameters_.value(options_.scale)[c]);
            over_channel(in, [&](int y, int x) {
                const Vector gradient = load(change.at(group, c, y) + x) * scale;
                const Vector normed = (load(in.at(group, c, y) + x) - mean) * reciprocal;
                put(to.at(group, c, y) + x, (gradient - through - normed * along) * reciprocal,
                    input_.adds);
            });
        }
    }
}
