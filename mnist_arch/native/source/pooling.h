// The largest or the mean of each window; a global pool has one window. Padding is never the largest,
// and counts as 0 in a mean.
#pragma once

#include "operation.h"
#include "window.h"

class Pooling : public Operation {
public:
    Pooling(Port input, Port output, Window window, bool averages)
        : input_(input), output_(output), window_(window), averages_(averages) {}
    void forward(int group, float*) override;
    void backward(int group, float*) override;

private:
    /// Whether it is the largest of each 2×2.
    bool halves() const {
        return !averages_ && window_.rows.size == 2 && window_.columns.size == 2 &&
               window_.stride == 2 && !window_.pads();
    }
    void halve(int group) const;
    void halve_backward(int group) const;

    /// The part of a window that lies on the map: from the first row and column up to the last.
    struct Part {
        int top, bottom, left, right;
    };
    Part part(int y, int x) const;

    /// Whether each pixel gets the gradient of exactly one window.
    bool covers() const;
    Vector largest(const float* channel, const Part&) const;
    Vector mean(const float* channel, const Part&) const;
    void spread(Vector gradient, Vector best, const float* from, float* to, const Part&,
                bool adds) const;

    Port input_, output_;
    Window window_;
    bool averages_;
};
