// SGD and AdamW, a limit for the gradient's norm, and the running average of the weights.
#pragma once

#include <vector>

#include "operation.h"
#include "program.h"

class Optimizer {
public:
    Optimizer(const NativeRecipe& recipe, const NativeProgram& program, const Parameters& parameters);

    void bind(const NativeTensors& tensors);

    /// Sums the gradients of all groups of images, in their order, in part `part` of `parts`.
    void sum_gradients(int groups, int part, int parts) const;

    /// Between the two: what the gradient is multiplied with, and the count of steps.
    void settle();

    /// Moves the weights and their averages in part `part` of `parts`.
    void move(double rate, double average_weight, int part, int parts) const;

    /// Moves the averages of the running statistics.
    void average_statistics(double weight) const;

private:
    struct Learned {
        float *value, *momentum, *square, *step, *average;
    };
    struct Statistics {
        float *mean, *variance, *average_mean, *average_variance;
        std::int64_t *batches, *average_batches;
    };
    void sgd(int tensor, std::int64_t first, std::int64_t last, float rate) const;
    void adamw(int tensor, std::int64_t first, std::int64_t last, double rate) const;

    NativeRecipe recipe_;
    const Parameters& parameters_;
    std::vector<float> decays_;
    std::vector<Learned> learned_;
    std::vector<int> running_sizes_;
    std::vector<Statistics> statistics_;
    float factor_ = 1;
};
