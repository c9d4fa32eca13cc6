// What is done to each value by itself, or to two of the same place; and maps one after the other.
#pragma once

#include "operation.h"

enum class Function { RELU, LEAKY_RELU, PRELU, GELU, SILU, HARDSWISH, SIGMOID };

class Activation : public Operation {
public:
    struct Options {
        Function function = Function::RELU;
        int weight = -1;  // the place of PReLU's slopes among the parameters: one, or a channel's own
        float slope = 0;  // of a leaky ReLU
    };
    Activation(const Parameters&, Port input, Port output, Options);
    void forward(int group, float*) override;
    void backward(int group, float*) override;

private:
    float slope(int channel) const;

    const Parameters& parameters_;
    Port input_, output_;
    Options options_;
    int slope_step_ = 0;  // from a channel's slope to that of the next
};

/// Sets values, or whole channels of an image, to 0 where a mask of torch has a 0.
class Dropout : public Operation {
public:
    struct Options {
        float rate = 0;
        bool spatial = false;        // the mask is [image][channel]
        bool channels_last = false;  // it is [image][row][column][channel]; else channels come first
    };
    /// `mask` is where the address of the mask stands, float32 of 0 and 1, during a step.
    Dropout(const Batch&, const float* const& mask, Port input, Port output, Map kept, Options);
    void forward(int group, float*) override;
    void backward(int group, float*) override;

private:
    void read_mask(int group) const;
    void scale(int group, const Map& from, const Map& to, bool adds) const;

    const Batch& batch_;
    const float* const& mask_;
    Port input_, output_;
    Map kept_;  // what each value is multiplied with
    Options options_;
};

/// The end of a residual, or of branches: one map and another, which may be the same.
class Sum : public Operation {
public:
    Sum(Port one, Port two, Port output) : ports_{one, two}, output_(output) {}
    void forward(int group, float*) override;
    void backward(int group, float*) override;

private:
    Port ports_[2];
    Port output_;
};

/// The end of branches: the channels of one map, and then those of another.
class Concatenation : public Operation {
public:
    Concatenation(Port one, Port two, Port output) : ports_{one, two}, output_(output) {}
    void forward(int group, float*) override;
    void backward(int group, float*) override;

private:
    Port ports_[2];
    Port output_;
};

/// The end of a squeeze-and-excitation: each channel times a factor.
class Scale : public Operation {
public:
    Scale(Port input, Port factors, Port output)
        : input_(input), factors_(factors), output_(output) {}
    void forward(int group, float*) override;
    void backward(int group, float*) override;

private:
    Port input_, factors_, output_;
};
