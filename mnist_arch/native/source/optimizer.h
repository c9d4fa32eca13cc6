// The optimizers, a penalty on absolute values, a limit for the gradient's norm, and the running average
// of the weights.
#pragma once

#include <vector>

#include "operation.h"
#include "program.h"

class Optimizer {
public:
    Optimizer(const NativeRecipe& recipe, const NativeProgram& program, const Parameters& parameters);

    void bind(const NativeTensors& tensors);

    /// Sums the gradients of all groups of images, in their order, in part `part` of `parts`, and adds
    /// those of the penalty.
    void sum_gradients(int groups, int part, int parts) const;

    /// Between the two: what the gradient is multiplied with, the penalty, and the count of steps.
    void settle();

    /// What the loss has more.
    double penalty() const { return penalty_; }

    /// Moves the weights and their averages in part `part` of `parts`.
    void move(const NativeStep&, int part, int parts) const;

    /// Moves the averages of the running statistics.
    void average_statistics(double weight) const;

private:
    struct Learned {
        float *value, *momentum, *square, *mean, *step, *average;
    };
    /// A part of a tensor that moves.
    struct Part {
        const Learned& tensor;
        const float* gradient;
        float factor, decay;  // what the gradient is multiplied with, and its share of the value
        std::int64_t first, last;

        float change(std::int64_t i) const {
            return gradient[i] * factor + decay * tensor.value[i];
        }
    };
    struct Statistics {
        float *mean, *variance, *average_mean, *average_variance;
        std::int64_t *batches, *average_batches;
    };
    template <typename Visit>
    void each_tensor(int part, int parts, Visit visit) const;
    void move(const Part&, double rate, double momentum) const;
    void sgd(const Part&, float rate, float momentum) const;
    void adam(Part, double rate, double momentum) const;
    void rmsprop(const Part&, float rate, float momentum) const;
    void adadelta(const Part&, float rate) const;
    void adagrad(const Part&, float rate) const;

    NativeRecipe recipe_;
    const Parameters& parameters_;
    std::vector<float> decays_, penalties_;
    std::vector<Learned> learned_;
    std::vector<int> running_sizes_;
    std::vector<Statistics> statistics_;
    float factor_ = 1;
    double penalty_ = 0;
};
