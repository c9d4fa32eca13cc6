// Convolutions of every kind. A fully connected layer is one whose kernel is as large as the map.
#pragma once

#include <optional>

#include "operation.h"
#include "kernels.h"
#include "stencil.h"
#include "window.h"
#include "winograd.h"

/// What a convolution is, whatever its maps.
struct Kernel : Window {
    int groups = 1;
    bool replicates = false;     // pads with the nearest pixel instead of zeros
    bool channels_last = false;  // weights are [output][row][column][input], else [output][input]…

    /// Whether it is computed by Winograd's algorithm.
    bool is_for_winograd(const Map& input, const Map& output) const;

    /// What is read around the input.
    Border input_border(const Map& input, const Map& output) const;

    /// What is read around the gradient of the output.
    Border gradient_border(const Map& input, const Map& output) const;

    /// Where padding repeats the edge of the map: its gradient is of pixels of its own first.
    Window padded() const;
};

class Convolution : public Operation {
public:
    struct Options {
        int weight = 0, bias = -1;  // places among the parameters; -1 is none
        bool rectifies = false;     // a ReLU, or leaky one, of the output
        float slope = 0;
        bool masks = true;         // its gradient is not of the rectifier's input yet
        bool sums_bias = true;     // nobody else adds up the gradient of the bias
        bool shares_border = false;  // another convolution fills that of the input otherwise
        float* sums = nullptr;     // [group][channel][3][LANES]: see Epilogue
    };

    Convolution(const Batch&, const Parameters&, Kernel, Port input, Port output, Options);

    /// Floats that a thread lends to a convolution between such maps while it works.
    static std::size_t scratch(const Kernel&, const Map& input, const Map& output);

    void prepare() override;
    void forward(int group, float* scratch) override;
    void backward(int group, float* scratch) override;

private:
    /// A stencil with its weights in the order in which they are read, and where they come from.
    struct Packed {
        Stencil stencil;
        std::vector<int> places;
        std::vector<float> weights;
        void pack(const float* from);
    };

    Packed forward_stencil() const;
    Packed backward_stencil(int phase_y, int phase_x) const;
    int place(int output, int input, int ky, int kx) const;
    void fill_border(int group) const;
    void mask_gradient(int group) const;
    void bias_gradient(int group) const;
    void weight_gradient(int group, float* sums) const;
    void input_gradient(int group, float* scratch) const;

    const Batch& batch_;
    const Parameters& parameters_;
    Kernel kernel_;
    Port input_, output_;
    Options options_;
    int inputs_, outputs_;  // channels of a group
    Packed forward_;
    Stencil products_;  // of the input with the gradient of the output
    std::vector<Packed> backward_;
    std::vector<int> places_;  // of [output][tap] in the weights
    std::vector<int> mirrored_;  // the same as the gradient of the input has them
    std::optional<Winograd> winograd_, winograd_products_, winograd_backward_;
};
