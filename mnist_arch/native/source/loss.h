// Cross-entropy with label smoothing, and what a teacher says: where forward ends and backward
// begins.
#pragma once

#include "operation.h"

class CrossEntropy {
public:
    CrossEntropy(const Batch& batch, Port logits);

    /// The summed loss of a group, and the gradient of the batch's mean.
    void learn(int group, const std::int64_t* labels, float smoothing);

    /// Mixes in, after `learn`, temperature² · KL(teacher ‖ network) with its weight.
    void learn_from(int group, const float* targets, float weight, float temperature);

    /// The mean over the batch.
    float mean() const;

private:
    const Batch& batch_;
    Port logits_;
    std::vector<double> sums_;  // [group]
};
