// From a program to a network: lays out the maps, and makes the operations.
#pragma once

#include "convolution.h"
#include "network.h"

class Assembly {
public:
    /// `program` has been checked.
    Assembly(Network& network, const NativeProgram& program);

    /// Throws std::bad_alloc.
    void build(int threads);

private:
    struct Extra {
        Map kept;               // of a dropout, or statistics of a group norm
        float* sums = nullptr;  // of a batch norm
    };

    void share_gradients();
    void set_borders();
    void plan_gradients();
    void plan_values();
    bool meets_within(int first, int last) const;
    void ask_for_memory(int threads);
    Port input(int value);
    std::unique_ptr<Operation> make(int index);
    std::unique_ptr<Operation> make_convolution(int index);
    std::unique_ptr<Operation> make_batch_norm(int index);
    int dropouts_before(int index) const;
    Window window(const NativeOperation&) const;
    Kernel kernel(const NativeOperation&) const;
    bool shares_border(const NativeOperation&) const;

    Network& network_;
    const NativeProgram& program_;
    std::vector<int> maker_;        // operation of each value; -1 of the image
    std::vector<int> readers_;      // of each value
    std::vector<int> last_reader_;  // operation
    std::vector<int> gradient_of_;  // the value with which one shares its gradient, or itself
    std::vector<bool> written_;     // gradients, by what comes later in the program
    std::vector<Extra> extras_;

    /// Memory for gradients of which no two are needed at once.
    struct Room {
        float* data = nullptr;
        std::ptrdiff_t group = 0;  // floats of a group of images
        int free_before = 0;       // the operation whose backward needs it last
        bool is_lent = false;      // to the group that a thread works on
    };
    std::vector<Room> rooms_;
    std::vector<int> room_of_;  // of each value's gradient
    std::vector<bool> is_lent_;  // each value
};
