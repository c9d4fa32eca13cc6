#include "optimizer.h"

#include <cmath>

namespace {

struct Range {
    std::int64_t first, last;
};

Range part_of(std::int64_t count, int part, int parts) {
    return {count * part / parts, count * (part + 1) / parts};
}

/// Moves `average` by a share of its way to `value`.
void approach(float* average, const float* value, std::int64_t first, std::int64_t last,
              float weight) {
    for (std::int64_t i = first; i < last; ++i) average[i] += weight * (value[i] - average[i]);
}

}  // namespace

Optimizer::Optimizer(const NativeRecipe& recipe, const NativeProgram& program,
                     const Parameters& parameters)
    : recipe_(recipe), parameters_(parameters), learned_(program.parameter_count),
      running_sizes_(program.running_sizes, program.running_sizes + program.running_count),
      statistics_(program.running_count) {
    for (int index = 0; index < program.parameter_count; ++index)
        decays_.push_back(program.parameters[index].decays ? float(recipe.weight_decay) : 0);
}

void Optimizer::bind(const NativeTensors& it) {
    for (std::size_t i = 0; i < learned_.size(); ++i)
        learned_[i] = {it.values[i], it.momenta[i], it.squares[i], it.steps[i], it.averages[i]};
    for (std::size_t i = 0; i < statistics_.size(); ++i)
        statistics_[i] = {it.running_means[i],    it.running_variances[i], it.average_means[i],
                          it.average_variances[i], it.running_batches[i],   it.average_batches[i]};
}

void Optimizer::sum_gradients(int groups, int part, int parts) const {
    const Range range = part_of(parameters_.total, part, parts);
    float* const to = parameters_.gradients;
    for (int group = 1; group < groups; ++group) {
        const float* const from = parameters_.gradients + group * parameters_.total;
        for (std::int64_t i = range.first; i < range.last; ++i) to[i] += from[i];
    }
}

void Optimizer::settle() {
    factor_ = 1;
    if (recipe_.clip_norm > 0) {
        double squares = 0;
        for (std::int64_t i = 0; i < parameters_.total; ++i)
            squares += double(parameters_.gradients[i]) * parameters_.gradients[i];
        const double factor = recipe_.clip_norm / (std::sqrt(squares) + 1e-6);
        factor_ = factor > 1 ? 1 : float(factor);  // stays what is not a number
    }
    if (recipe_.is_adamw)
        for (const Learned& it : learned_) *it.step += 1;
}

void Optimizer::move(double rate, double average_weight, int part, int parts) const {
    const Range range = part_of(parameters_.total, part, parts);
    for (int index = 0; index < int(learned_.size()); ++index) {
        const Tensor& tensor = parameters_.tensors[index];
        const std::int64_t first = std::max<std::int64_t>(0, range.first - tensor.offset);
        const std::int64_t last = std::min(tensor.size, range.last - tensor.offset);
        if (first >= last) continue;
        recipe_.is_adamw ? adamw(index, first, last, rate) : sgd(index, first, last, float(rate));
        const Learned& it = learned_[index];
        if (average_weight >= 0) approach(it.average, it.value, first, last, float(average_weight));
    }
}

void Optimizer::sgd(int tensor, std::int64_t first, std::int64_t last, float rate) const {
    const Learned& it = learned_[tensor];
    const float* const gradient = parameters_.gradient(0, tensor);
    const float decay = decays_[tensor], momentum = float(recipe_.momentum), factor = factor_;
    for (std::int64_t i = first; i < last; ++i) {
        float change = gradient[i] * factor + decay * it.value[i];
        if (it.momentum) {
            const float kept = it.momentum[i] * momentum + change;
            it.momentum[i] = kept;
            change = recipe_.is_nesterov ? change + momentum * kept : kept;
        }
        it.value[i] -= rate * change;
    }
}

void Optimizer::adamw(int tensor, std::int64_t first, std::int64_t last, double rate) const {
    const Learned& it = learned_[tensor];
    const float* const gradient = parameters_.gradient(0, tensor);
    const double step = *it.step;
    const float share = float(1 - recipe_.momentum), share_of_squares = float(1 - recipe_.beta2);
    const float shrink = float(1 - rate * decays_[tensor]), factor = factor_;
    const float size = float(rate / (1 - std::pow(recipe_.momentum, step)));
    const float root = float(std::sqrt(1 - std::pow(recipe_.beta2, step)));
    const float beta2 = float(recipe_.beta2), epsilon = float(recipe_.epsilon);
    for (std::int64_t i = first; i < last; ++i) {
        const float change = gradient[i] * factor;
        it.momentum[i] += share * (change - it.momentum[i]);
        it.square[i] = beta2 * it.square[i] + share_of_squares * change * change;
        it.value[i] = it.value[i] * shrink -
                      size * (it.momentum[i] / (std::sqrt(it.square[i]) / root + epsilon));
    }
}

void Optimizer::average_statistics(double weight) const {
    for (std::size_t index = 0; index < statistics_.size(); ++index) {
        const Statistics& it = statistics_[index];
        approach(it.average_mean, it.mean, 0, running_sizes_[index], float(weight));
        approach(it.average_variance, it.variance, 0, running_sizes_[index], float(weight));
        *it.average_batches = *it.batches;
    }
}
