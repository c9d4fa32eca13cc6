// The largest or the mean of each window; a global pool has one window.
#pragma once

#include "operation.h"

class Pooling : public Operation {
public:
    Pooling(Port input, Port output, int size, int stride, bool averages)
        : input_(input), output_(output), size_(size), stride_(stride), averages_(averages) {}
    void forward(int group, float*) override;
    void backward(int group, float*) override;

private:
    /// Whether it is the largest of each 2×2.
    bool halves() const { return !averages_ && size_ == 2 && stride_ == 2; }
    void halve(int group) const;
    void halve_backward(int group) const;

    /// Whether each pixel gets the gradient of exactly one window.
    bool covers() const {
        return stride_ == size_ && input_.value.height % size_ == 0 && !input_.adds;
    }
    Vector largest(const float* window) const;
    Vector mean(const float* window) const;
    void spread(Vector gradient, Vector best, const float* from, float* to, bool adds) const;

    Port input_, output_;
    int size_, stride_;
    bool averages_;
};
