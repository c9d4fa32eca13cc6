#include "loss.h"

#include <cmath>

CrossEntropy::CrossEntropy(const Batch& batch, Port logits)
    : batch_(batch), logits_(logits), sums_(batch.groups()) {}

void CrossEntropy::learn(int group, const std::int64_t* labels, float smoothing) {
    const Map &logits = logits_.value, &change = logits_.gradient;
    const int classes = logits.channels, lanes = batch_.lanes(group);
    Vector largest = load(logits.at(group, 0));
    for (int k = 1; k < classes; ++k) largest = larger(largest, load(logits.at(group, k)));
    Vector total{}, logit_sum{};
    for (int k = 0; k < classes; ++k) {
        const Vector power = exponential(load(logits.at(group, k)) - largest);
        store(change.at(group, k), power);
        total = total + power;
        logit_sum = logit_sum + (load(logits.at(group, k)) - largest);
    }
    const Mask images = first_lanes(lanes);
    const float spread = smoothing / float(classes), share = 1 / float(batch_.images);
    for (int k = 0; k < classes; ++k) {
        Vector target = all(spread);
        for (int lane = 0; lane < lanes; ++lane)
            if (labels[group * LANES + lane] == k) target[lane] += 1 - smoothing;
        const Vector gradient = (load(change.at(group, k)) / total - target) * share;
        store(change.at(group, k), images ? gradient : Vector{});
    }
    double loss = 0;
    for (int lane = 0; lane < lanes; ++lane) {
        const double log_total = std::log(double(total[lane]));
        const float* const own = logits.at(group, int(labels[group * LANES + lane])) + lane;
        loss += (1 - smoothing) * (log_total - (double(*own) - largest[lane]));
        loss += smoothing * (log_total - double(logit_sum[lane]) / classes);
    }
    sums_[group] = loss;
}

// The gradient of temperature² · KL is temperature · (softmax(logits / temperature) - targets).
void CrossEntropy::learn_from(int group, const float* targets, float weight, float temperature) {
    const Map &logits = logits_.value, &change = logits_.gradient;
    const int classes = logits.channels, lanes = batch_.lanes(group);
    const float warmth = 1 / temperature;
    Vector largest = load(logits.at(group, 0));
    for (int k = 1; k < classes; ++k) largest = larger(largest, load(logits.at(group, k)));
    Vector total{};
    for (int k = 0; k < classes; ++k)
        total = total + exponential((load(logits.at(group, k)) - largest) * warmth);
    const Mask images = first_lanes(lanes);
    const float share = weight * temperature / float(batch_.images);
    for (int k = 0; k < classes; ++k) {
        Vector target{};
        for (int lane = 0; lane < lanes; ++lane)
            target[lane] = targets[(group * LANES + lane) * classes + k];
        const Vector power = exponential((load(logits.at(group, k)) - largest) * warmth);
        const Vector gradient = load(change.at(group, k)) * (1 - weight) + (power / total - target) * share;
        store(change.at(group, k), images ? gradient : Vector{});
    }
    double apart = 0;
    for (int lane = 0; lane < lanes; ++lane) {
        const double log_total = std::log(double(total[lane]));
        for (int k = 0; k < classes; ++k) {
            const double target = targets[(group * LANES + lane) * classes + k];
            const double log_own = (double(logits.at(group, k)[lane]) - largest[lane]) / temperature - log_total;
            if (target > 0) apart += target * (std::log(target) - log_own);
        }
    }
    sums_[group] = (1 - double(weight)) * sums_[group] + double(weight) * temperature * temperature * apart;
}

float CrossEntropy::mean() const {
    double total = 0;
    for (int group = 0; group < batch_.groups(); ++group) total += sums_[group];
    return float(total / batch_.images);
}
