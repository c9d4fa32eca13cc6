// Group and instance norm: statistics of one image, so each lane has its own, and none meet.
#pragma once

#include "operation.h"

class GroupNorm : public Operation {
public:
    struct Options {
        int scale = 0, shift = 0;  // places among the parameters
        int groups = 1;            // of channels; an instance norm has one a channel
    };

    /// `statistics` has two channels of one pixel for each group of channels.
    GroupNorm(const Parameters&, Port input, Port output, Map statistics, Options);

    void forward(int group, float*) override;
    void backward(int group, float*) override;

private:
    const Parameters& parameters_;
    Port input_, output_;
    Options options_;
    int members_;     // channels of a group
    Map statistics_;  // mean and 1 / deviation of each group
};
