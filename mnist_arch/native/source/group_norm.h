// Group, instance and layer norm: statistics of one image, so each lane has its own, and none meet.
#pragma once

#include "operation.h"

class GroupNorm : public Operation {
public:
    struct Options {
        int scale = -1, shift = -1;  // places among the parameters; -1 is none
        int groups = 1;  // of channels; an instance norm has one a channel, a layer norm one
        float epsilon = 0;
    };

    /// `statistics` has two channels of one pixel for each group of channels. There are one scale and
    /// shift, or as many as channels, or as values of an image.
    GroupNorm(const Parameters&, Port input, Port output, Map statistics, Options);

    void forward(int group, float*) override;
    void backward(int group, float*) override;

private:
    struct Sums {
        Vector gradient, product;  // of the normed pixels' gradient, and of that times them
    };
    template <typename Gradient, typename Normed>
    Sums channel_gradients(int group, int channel, Gradient, Normed) const;
    template <typename Gradient, typename Normed>
    Sums value_gradients(int group, int channel, Gradient, Normed) const;
    std::ptrdiff_t place(int channel, int y, int x) const;

    const Parameters& parameters_;
    Port input_, output_;
    Options options_;
    int members_;     // channels of a group
    Map statistics_;  // mean and 1 / deviation of each group
    std::ptrdiff_t channel_step_ = 0, pixel_step_ = 0;  // from a scale to the next
};
