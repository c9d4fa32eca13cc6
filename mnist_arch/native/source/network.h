// A network with its maps and threads: one call is a whole step of training, or a prediction.
#pragma once

#include <memory>

#include "batch_norm.h"
#include "loss.h"
#include "optimizer.h"
#include "program.h"
#include "team.h"

/// Memory in one piece, all zero, on large pages where the system has them. Throws std::bad_alloc.
class Memory {
public:
    Memory() = default;
    ~Memory();
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;

    /// Notes that `*pointer` is to point at so many floats.
    void want(float** pointer, std::size_t floats);
    void allocate();

private:
    struct Wish {
        float** pointer;
        std::size_t first, end;  // in floats
    };
    std::vector<Wish> wishes_;
    std::size_t floats_ = 0, bytes_ = 0;
    void* mapped_ = nullptr;
};

class Network {
public:
    /// For passes of up to `images`. Throws std::invalid_argument where the program is wrong.
    Network(const NativeProgram&, const NativeRecipe&, int images, int threads);

    void bind(const NativeTensors& tensors);

    /// One step of training. Returns the mean loss.
    float learn(const NativeStep& step);

    /// The logits of images, [image][class], by the network or by its running average.
    void predict(const NativeImages& images, bool by_average, float* logits);

    /// Those of the last step, before clipping: parameter by parameter.
    void copy_gradients(float* to) const;

private:
    struct Groups {
        int first, last;
    };
    Groups groups_of(int thread) const;
    template <typename Work>
    void each_group(int thread, bool& backwards, Work work) const;
    void start(const NativeImages& images, bool trains);
    void prepare(int thread);
    void forward(int thread, const NativeImages& images);
    void backward(int thread, const NativeStep& step);
    void write_logits(int group, float* logits) const;
    void point_at(bool average);

    Batch batch_;
    int most_images_;
    std::vector<int> slots_;  // the thread of each group
    Parameters parameters_;
    NativeRecipe recipe_;
    Optimizer optimizer_;
    std::vector<BatchNorm::Running> running_;
    std::vector<const float*> values_, averages_;
    std::vector<BatchNorm::Running> running_values_, running_averages_;
    std::vector<Port> ports_;
    int logits_ = 0;  // their port
    std::vector<std::unique_ptr<Operation>> operations_;
    std::vector<std::vector<int>> again_;  // operations forward again before each one's backward
    std::vector<const float*> masks_;
    std::vector<float*> scratch_;
    std::unique_ptr<CrossEntropy> loss_;
    Memory memory_;
    Team team_;

    friend class Assembly;
};
