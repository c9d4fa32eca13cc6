// Batch norm, with what stands beside it: the rectifiers before and after, a 2×2 max pool, and the
// end of a residual. In training a batch may be taken apart, image by image in turn, into parts that
// are normed by themselves.
#pragma once

#include "operation.h"

class BatchNorm : public Operation {
public:
    struct Options {
        int scale = -1, shift = -1;  // places among the parameters; -1 is none
        int bias = -1;             // of the convolution before it, whose gradient is added up here
        bool masks_input = false;  // the input came through a rectifier, whose gradient is taken, too
        float input_slope = 0;
        bool rectifies = false;  // after the norm
        float slope = 0;
        double epsilon = 0, momentum = 0;
        int parts = 1;             // of a batch, at most
        bool pools = false;        // the largest of each 2×2 after that
        Port term;                 // what is added after the rectifier, if there is anything
        float* sums = nullptr;     // [group][channel][3][LANES]: see Epilogue
        bool input_sums = false;   // whether the operation before it fills them
    };

    /// The running statistics, in torch's memory; they move only in training.
    struct Running {
        float *mean = nullptr, *variance = nullptr;
        std::int64_t* batches = nullptr;
    };

    BatchNorm(const Batch&, const Parameters&, const Running&, Port input, Port output, Options);

    void prepare() override;
    bool meets() const override { return batch_.trains; }
    void collect(int group) override;
    void settle() override;
    void forward(int group, float*) override;

    bool meets_backward() const override { return true; }
    void collect_backward(int group) override;
    void settle_backward() override;
    void backward(int group, float*) override;

private:
    struct Moments {
        double mean, squares;  // of the distances to the mean
    };
    struct Sums {
        float gradient, product;  // of the gradient, and of that times the distance to the mean
    };
    struct Channel {
        float mean = 0, reciprocal = 0;  // of the deviation
        double rest = 0;                 // of the mean, which rounding has taken from it
        float factor = 0, offset = 0;    // the norm is x · factor + offset
        float slope = 0, away = 0;  // its gradient is dy · factor - ((x - mean) · slope + away)
    };

    /// What is summed by itself before all is put together: a group of images, or each image where
    /// those of a group are of different parts.
    int blocks() const { return parts_ == 1 ? batch_.groups() : batch_.images; }
    int images_of_block(int block) const { return parts_ == 1 ? batch_.lanes(block) : 1; }

    int images_of_part(int part) const { return (batch_.images - part + parts_ - 1) / parts_; }

    /// A number of a channel in each lane: that of the part of the batch that its image is of.
    Vector in_lanes(int group, int channel, float Channel::*number) const;

    void sum_up(int group, int channel, float* sums) const;
    void settle(int channel);
    void set(int part, int channel, double mean, double variance);
    template <bool RECTIFIES, bool POOLS, typename Visit, typename End>
    void visit(int group, int channel, Visit visit, End end_row) const;
    template <bool RECTIFIES, bool ADDS>
    void apply(int group) const;
    template <bool RECTIFIES>
    void apply_and_pool(int group) const;
    template <bool RECTIFIES, bool POOLS>
    void collect_gradients(int group);
    template <bool RECTIFIES, bool POOLS, bool MASKS>
    void input_gradient(int group) const;
    void term_gradient(int group) const;

    const Batch& batch_;
    const Parameters& parameters_;
    const Running& running_;
    Port input_, output_;
    Options options_;
    int parts_ = 1;                  // of this batch
    std::vector<Moments> moments_;   // [block][channel]
    std::vector<Sums> sums_;         // [block][channel]
    std::vector<Channel> channels_;  // [part][channel]
};
