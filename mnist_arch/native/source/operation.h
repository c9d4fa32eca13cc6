// What all operations of a network have in common.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "map.h"

/// The images that the network is passed over with.
struct Batch {
    int images = 0;
    bool trains = false;

    int groups() const { return (images + LANES - 1) / LANES; }
    /// Lanes of a group that hold images; what the others hold counts nowhere.
    int lanes(int group) const { return std::min(LANES, images - group * LANES); }
};

/// A tensor of torch that is learned, or kept by a norm, in torch's memory.
struct Tensor {
    std::int64_t size = 0;
    std::int64_t offset = 0;  // among all
    const float* value = nullptr;
};

/// The tensors that are learned, and their gradients: one for each group of images first.
struct Parameters {
    std::vector<Tensor> tensors;
    float* gradients = nullptr;  // [groups][total]
    std::int64_t total = 0;

    const float* value(int index) const { return tensors[index].value; }
    float* gradient(int group) const { return gradients + group * total; }
    float* gradient(int group, int index) const { return gradient(group) + tensors[index].offset; }
};

/// A value between two operations, and its gradient.
struct Port {
    Map value, gradient;
    bool adds = false;  // whoever comes from here adds to the gradient of another
    bool wanted() const { return gradient.data != nullptr; }
};

/// A layer, or what of several is done at once. All but `settle` work on one group of images, and
/// different groups may be worked on at the same time.
class Operation {
public:
    virtual ~Operation() = default;

    /// Before a pass: brings weights into the order in which they are read. In one thread.
    virtual void prepare() {}

    /// Whether the whole batch has to be looked at first: all groups `collect`, and one thread
    /// then does `settle`.
    virtual bool meets() const { return false; }
    virtual void collect(int /*group*/) {}
    virtual void settle() {}
    virtual void forward(int group, float* scratch) = 0;

    virtual bool meets_backward() const { return false; }
    virtual void collect_backward(int /*group*/) {}
    virtual void settle_backward() {}
    virtual void backward(int group, float* scratch) = 0;
};

/// Calls visit(y, offset in the row) for all pixels of a channel.
template <typename Visit>
void over_channel(const Map& map, Visit visit) {
    for (int y = 0; y < map.height; ++y)
        for (int x = 0; x < map.width * LANES; x += LANES) visit(y, x);
}

/// Stores a gradient, or adds it to what is there.
inline void put(float* to, Vector value, bool adds) { store(to, adds ? load(to) + value : value); }

/// ReLU, or with a slope below zero. What is not a number stays so.
inline Vector rectified(Vector x, float slope) {
    return x < 0.0f ? x * slope : x;
}

/// The gradient before a rectifier, of that after it. `x` is its input, or its output.
inline Vector through_rectifier(Vector gradient, Vector x, float slope) {
    return x > 0.0f ? gradient : gradient * slope;
}
