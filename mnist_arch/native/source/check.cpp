#include "check.h"

#include <stdexcept>
#include <string>
#include <vector>

#include "elementwise.h"

namespace {

constexpr int MOST_SIDE = 4096, MOST_COUNT = 1 << 20;
constexpr std::int64_t MOST_SIZE = std::int64_t(1) << 31;

bool is_within(int value, int first, int last) { return first <= value && value <= last; }

bool same(const NativeValue& one, const NativeValue& two) {
    return one.channels == two.channels && one.height == two.height && one.width == two.width;
}

int windows(int side, int size, int stride, int padding) {
    return (side + 2 * padding - size) / stride + 1;
}

/// Goes through a program in the order in which it runs.
class Check {
public:
    explicit Check(const NativeProgram& program) : program_(program) {}
    void all();

private:
    void counts();
    void shapes();
    void operation(const NativeOperation&);
    void convolution(const NativeOperation&);
    void batch_norm(const NativeOperation&);
    void pool(const NativeOperation&);

    void need(bool right, const char* what) const {
        if (right) return;
        throw std::invalid_argument("operation " + std::to_string(now_) + ": " + what);
    }
    const NativeValue& value(int index) const { return program_.values[index]; }
    bool is_made(int index) const {
        return is_within(index, 0, program_.value_count - 1) && made_[index];
    }
    bool has(int parameter, std::int64_t size) const {
        return is_within(parameter, 0, program_.parameter_count - 1) &&
               program_.parameters[parameter].size == size;
    }

    const NativeProgram& program_;
    std::vector<bool> made_;
    std::vector<int> readers_;
    int now_ = -1;
};

void Check::all() {
    counts();
    shapes();
    made_.assign(program_.value_count, false);
    made_[0] = true;
    readers_.assign(program_.value_count, 0);
    for (int index = 0; index < program_.operation_count; ++index) {
        const NativeOperation& it = program_.operations[index];
        for (const int read : {it.input, it.other})
            if (is_within(read, 0, program_.value_count - 1)) ++readers_[read];
    }
    for (now_ = 0; now_ < program_.operation_count; ++now_) {
        const NativeOperation& it = program_.operations[now_];
        need(is_made(it.input), "input");
        need(is_within(it.output, 1, program_.value_count - 1) && !made_[it.output], "output");
        operation(it);
        made_[it.output] = true;
    }
    const NativeValue& logits = value(program_.value_count - 1);
    need(made_.back(), "the last value is not made");
    need(logits.height == 1 && logits.width == 1, "the last value is a map");
}

void Check::counts() {
    need(is_within(program_.value_count, 2, MOST_COUNT), "count of values");
    need(is_within(program_.operation_count, 1, MOST_COUNT), "count of operations");
    need(is_within(program_.parameter_count, 0, MOST_COUNT), "count of parameters");
    need(is_within(program_.running_count, 0, MOST_COUNT), "count of statistics");
    std::int64_t total = 0;
    for (int index = 0; index < program_.parameter_count; ++index) {
        const std::int64_t size = program_.parameters[index].size;
        need(0 < size && size < MOST_SIZE, "size of a parameter");
        need((total += size) < MOST_SIZE, "size of all parameters");
    }
}

void Check::shapes() {
    for (int index = 0; index < program_.value_count; ++index) {
        const NativeValue& it = value(index);
        need(is_within(it.channels, 1, MOST_COUNT), "channels of a value");
        need(is_within(it.height, 1, MOST_SIDE) && it.width == it.height, "sides of a value");
    }
}

void Check::operation(const NativeOperation& it) {
    const NativeValue &in = value(it.input), &out = value(it.output);
    switch (it.kind) {
        case NATIVE_CONVOLUTION: return convolution(it);
        case NATIVE_BATCH_NORM: return batch_norm(it);
        case NATIVE_POOLING: return pool(it);
        case NATIVE_GROUP_NORM:
            need(has(it.weight, in.channels) && has(it.bias, in.channels), "scale and shift");
            need(is_within(it.groups, 1, in.channels) && in.channels % it.groups == 0, "groups");
            break;
        case NATIVE_ACTIVATION:
            need(is_within(it.function, 0, int(Function::SIGMOID)), "function");
            need(it.function != int(Function::PRELU) || has(it.weight, 1), "slope");
            break;
        case NATIVE_DROPOUT: need(it.rate >= 0 && it.rate < 1, "rate"); break;
        case NATIVE_SUM: need(is_made(it.other) && same(in, value(it.other)), "term"); break;
        case NATIVE_SCALE:
            need(it.other > 0 && is_made(it.other), "factors");
            need(value(it.other).channels == in.channels && value(it.other).height == 1,
                 "shape of the factors");
            break;
        default: need(false, "kind");
    }
    need(same(in, out), "shape");
}

void Check::convolution(const NativeOperation& it) {
    const NativeValue &in = value(it.input), &out = value(it.output);
    need(is_within(it.size, 1, MOST_SIDE) && is_within(it.stride, 1, MOST_SIDE), "window");
    need(is_within(it.padding, 0, it.size - 1), "padding");
    need(in.height + 2 * it.padding >= it.size, "kernel larger than the map");
    need(is_within(it.groups, 1, in.channels) && in.channels % it.groups == 0 &&
             out.channels % it.groups == 0,
         "groups");
    const int side = windows(in.height, it.size, it.stride, it.padding);
    need(out.height == side, "shape");
    const std::int64_t taps = std::int64_t(in.channels / it.groups) * it.size * it.size;
    need(has(it.weight, taps * out.channels), "weight");
    need(it.bias == -1 || has(it.bias, out.channels), "bias");
}

void Check::batch_norm(const NativeOperation& it) {
    const NativeValue &in = value(it.input), &out = value(it.output);
    need(has(it.weight, in.channels) && has(it.bias, in.channels), "scale and shift");
    need(is_within(it.running, 0, program_.running_count - 1) &&
             program_.running_sizes[it.running] == in.channels,
         "running statistics");
    need(readers_[it.input] == 1, "what is normed is read by others, too");
    need(it.other == -1 || (is_made(it.other) && same(out, value(it.other)) && !it.pools), "term");
    need(it.input_bias == -1 || has(it.input_bias, in.channels), "bias of the input");
    need(out.channels == in.channels && out.height == (it.pools ? in.height / 2 : in.height),
         "shape");
}

void Check::pool(const NativeOperation& it) {
    const NativeValue &in = value(it.input), &out = value(it.output);
    need(is_within(it.size, 1, in.height) && is_within(it.stride, 1, MOST_SIDE), "window");
    const int side = windows(in.height, it.size, it.stride, 0);
    need(out.channels == in.channels && out.height == side, "shape");
}

}  // namespace

void check(const NativeProgram& program) { Check(program).all(); }
