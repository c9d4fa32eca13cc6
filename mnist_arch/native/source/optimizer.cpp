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
    for (int index = 0; index < program.parameter_count; ++index) {
        const NativeParameter& it = program.parameters[index];
        decays_.push_back(it.decays ? float(recipe.weight_decay) : 0);
        penalties_.push_back(it.is_penalized ? float(recipe.l1) : 0);
    }
}

void Optimizer::bind(const NativeTensors& it) {
    for (std::size_t i = 0; i < learned_.size(); ++i)
        learned_[i] = {it.values[i], it.momenta[i], it.squares[i],
                       it.means[i],  it.steps[i],   it.averages[i]};
    for (std::size_t i = 0; i < statistics_.size(); ++i)
        statistics_[i] = {it.running_means[i],    it.running_variances[i], it.average_means[i],
                          it.average_variances[i], it.running_batches[i],   it.average_batches[i]};
}

/// Calls visit(index, first, last) for each tensor of which something is in part `part` of `parts`.
template <typename Visit>
void Optimizer::each_tensor(int part, int parts, Visit visit) const {
    const Range range = part_of(parameters_.total, part, parts);
    for (int index = 0; index < int(learned_.size()); ++index) {
        const Tensor& tensor = parameters_.tensors[index];
        const std::int64_t first = std::max<std::int64_t>(0, range.first - tensor.offset);
        const std::int64_t last = std::min(tensor.size, range.last - tensor.offset);
        if (first < last) visit(index, first, last);
    }
}

void Optimizer::sum_gradients(int groups, int part, int parts) const {
    const Range range = part_of(parameters_.total, part, parts);
    float* const to = parameters_.gradients;
    for (int group = 1; group < groups; ++group) {
        const float* const from = parameters_.gradients + group * parameters_.total;
        for (std::int64_t i = range.first; i < range.last; ++i) to[i] += from[i];
    }
    if (recipe_.l1 == 0) return;
    each_tensor(part, parts, [&](int index, std::int64_t first, std::int64_t last) {
        const float *const value = learned_[index].value, share = penalties_[index];
        float* const gradient = parameters_.gradient(0, index);
        for (std::int64_t i = first; i < last; ++i)
            gradient[i] += value[i] > 0 ? share : value[i] < 0 ? -share : 0;
    });
}

void Optimizer::settle() {
    factor_ = 1;
    penalty_ = 0;
    if (recipe_.clip_norm > 0) {
        double squares = 0;
        for (std::int64_t i = 0; i < parameters_.total; ++i)
            squares += double(parameters_.gradients[i]) * parameters_.gradients[i];
        const double factor = recipe_.clip_norm / (std::sqrt(squares) + 1e-6);
        factor_ = factor > 1 ? 1 : float(factor);  // stays what is not a number
    }
    for (int index = 0; index < int(learned_.size()) && recipe_.l1 > 0; ++index) {
        double size = 0;
        for (std::int64_t i = 0; i < parameters_.tensors[index].size; ++i)
            size += std::abs(double(learned_[index].value[i]));
        penalty_ += penalties_[index] * size;
    }
    for (const Learned& it : learned_)
        if (it.step) *it.step += 1;
}

void Optimizer::move(const NativeStep& step, int part, int parts) const {
    each_tensor(part, parts, [&](int index, std::int64_t first, std::int64_t last) {
        const Learned& it = learned_[index];
        move(Part{it, parameters_.gradient(0, index), factor_, decays_[index], first, last},
             step.rate, step.momentum);
        if (step.average_weight >= 0)
            approach(it.average, it.value, first, last, float(step.average_weight));
    });
}

void Optimizer::move(const Part& part, double rate, double momentum) const {
    switch (recipe_.optimizer) {
        case NATIVE_SGD: return sgd(part, float(rate), float(momentum));
        case NATIVE_ADAM:
        case NATIVE_ADAMW: return adam(part, rate, momentum);
        case NATIVE_RMSPROP: return rmsprop(part, float(rate), float(momentum));
        case NATIVE_ADADELTA: return adadelta(part, float(rate));
        default: return adagrad(part, float(rate));
    }
}

void Optimizer::sgd(const Part& part, float rate, float momentum) const {
    const Learned& it = part.tensor;
    const bool keeps = it.momentum && momentum != 0;
    for (std::int64_t i = part.first; i < part.last; ++i) {
        float change = part.change(i);
        if (keeps) {
            const float kept = it.momentum[i] * momentum + change;
            it.momentum[i] = kept;
            change = recipe_.is_nesterov ? change + momentum * kept : kept;
        }
        it.value[i] -= rate * change;
    }
}

// AdamW takes its decay from the value itself, and not by way of the gradient.
void Optimizer::adam(Part part, double rate, double momentum) const {
    const Learned& it = part.tensor;
    const double step = *it.step, beta2 = recipe_.square_decay;
    float shrink = 1;
    if (recipe_.optimizer == NATIVE_ADAMW) {
        shrink = float(1 - rate * part.decay);
        part.decay = 0;
    }
    const float share = float(1 - momentum), share_of_squares = float(1 - beta2);
    const float size = float(rate / (1 - std::pow(momentum, step)));
    const float root = float(std::sqrt(1 - std::pow(beta2, step)));
    const float left = float(beta2), epsilon = float(recipe_.epsilon);
    for (std::int64_t i = part.first; i < part.last; ++i) {
        const float change = part.change(i);
        it.momentum[i] += share * (change - it.momentum[i]);
        it.square[i] = left * it.square[i] + share_of_squares * change * change;
        it.value[i] = it.value[i] * shrink -
                      size * (it.momentum[i] / (std::sqrt(it.square[i]) / root + epsilon));
    }
}

void Optimizer::rmsprop(const Part& part, float rate, float momentum) const {
    const Learned& it = part.tensor;
    const float left = float(recipe_.square_decay), share = float(1 - recipe_.square_decay);
    const float epsilon = float(recipe_.epsilon);
    const bool keeps = it.momentum && momentum != 0;
    for (std::int64_t i = part.first; i < part.last; ++i) {
        const float change = part.change(i);
        float square = left * it.square[i] + share * change * change;
        it.square[i] = square;
        if (it.mean) {
            it.mean[i] += share * (change - it.mean[i]);
            square -= it.mean[i] * it.mean[i];
        }
        float way = change / (std::sqrt(square) + epsilon);
        if (keeps) way = it.momentum[i] = momentum * it.momentum[i] + way;
        it.value[i] -= rate * way;
    }
}

void Optimizer::adadelta(const Part& part, float rate) const {
    const Learned& it = part.tensor;
    const float left = float(recipe_.square_decay), share = float(1 - recipe_.square_decay);
    const float epsilon = float(recipe_.epsilon);
    for (std::int64_t i = part.first; i < part.last; ++i) {
        const float change = part.change(i);
        it.square[i] = left * it.square[i] + share * change * change;
        const float way = std::sqrt(it.mean[i] + epsilon) / std::sqrt(it.square[i] + epsilon) * change;
        it.mean[i] = left * it.mean[i] + share * way * way;
        it.value[i] -= rate * way;
    }
}

void Optimizer::adagrad(const Part& part, float rate) const {
    const Learned& it = part.tensor;
    for (std::int64_t i = part.first; i < part.last; ++i) {
        const float change = part.change(i);
        it.square[i] += change * change;
        it.value[i] -= rate * (change / (std::sqrt(it.square[i]) + float(recipe_.epsilon)));
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
