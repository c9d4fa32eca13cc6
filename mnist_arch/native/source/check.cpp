#include "check.h"

#include <algorithm>
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
    void group_norm(const NativeOperation&);
    void pool(const NativeOperation&);
    void window(const NativeOperation&);

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
    /// A norm without a scale has no shift either.
    bool has_affine(const NativeOperation& it, std::int64_t size) const {
        return it.weight == -1 ? it.bias == -1 : has(it.weight, size) && has(it.bias, size);
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
    const NativeValue& logits = value(program_.operations[program_.operation_count - 1].output);
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
        need(is_within(it.height, 1, MOST_SIDE) && is_within(it.width, 1, MOST_SIDE),
             "sides of a value");
    }
    need(value(0).height == value(0).width, "images are no squares");
}

void Check::operation(const NativeOperation& it) {
    const NativeValue &in = value(it.input), &out = value(it.output);
    switch (it.kind) {
        case NATIVE_CONVOLUTION: return convolution(it);
        case NATIVE_BATCH_NORM: return batch_norm(it);
        case NATIVE_POOLING: return pool(it);
        case NATIVE_GROUP_NORM: group_norm(it); break;
        case NATIVE_ACTIVATION:
            need(is_within(it.function, 0, int(Function::SIGMOID)), "function");
            need(it.function != int(Function::PRELU) || has(it.weight, 1) ||
                     has(it.weight, in.channels),
                 "slopes");
            break;
        case NATIVE_DROPOUT: need(it.rate >= 0 && it.rate < 1, "rate"); break;
        case NATIVE_SUM: need(is_made(it.other) && same(in, value(it.other)), "term"); break;
        case NATIVE_SCALE:
            need(it.other > 0 && is_made(it.other), "factors");
            need(same(value(it.other), {in.channels, 1, 1}), "shape of the factors");
            break;
        case NATIVE_CONCATENATION: {
            need(is_made(it.other), "second map");
            const NativeValue& two = value(it.other);
            need(same(two, {two.channels, in.height, in.width}), "shape of the second map");
            return need(same(out, {in.channels + two.channels, in.height, in.width}), "shape");
        }
        default: need(false, "kind");
    }
    need(same(in, out), "shape");
}

void Check::convolution(const NativeOperation& it) {
    const NativeValue &in = value(it.input), &out = value(it.output);
    window(it);
    need(is_within(it.groups, 1, in.channels) && in.channels % it.groups == 0 &&
             out.channels % it.groups == 0,
         "groups");
    const std::int64_t taps = std::int64_t(in.channels / it.groups) * it.rows * it.columns;
    need(has(it.weight, taps * out.channels), "weight");
    need(it.bias == -1 || has(it.bias, out.channels), "bias");
}

void Check::batch_norm(const NativeOperation& it) {
    const NativeValue &in = value(it.input), &out = value(it.output);
    need(it.input > 0, "a norm of the images");
    need(has_affine(it, in.channels), "scale and shift");
    need(it.epsilon > 0, "epsilon");
    need(is_within(it.parts, 1, MOST_COUNT), "parts of a batch");
    need(is_within(it.running, 0, program_.running_count - 1) &&
             program_.running_sizes[it.running] == in.channels,
         "running statistics");
    need(readers_[it.input] == 1, "what is normed is read by others, too");
    need(it.other == -1 || (is_made(it.other) && same(out, value(it.other)) && !it.pools), "term");
    need(it.input_bias == -1 || has(it.input_bias, in.channels), "bias of the input");
    const int step = it.pools ? 2 : 1;
    need(same(out, {in.channels, in.height / step, in.width / step}), "shape");
}

void Check::group_norm(const NativeOperation& it) {
    const NativeValue& in = value(it.input);
    const std::int64_t values = std::int64_t(in.channels) * in.height * in.width;
    need(it.input > 0, "a norm of the images");
    need(has_affine(it, 1) || has_affine(it, in.channels) || has_affine(it, values),
         "scale and shift");
    need(it.epsilon > 0, "epsilon");
    need(is_within(it.groups, 1, in.channels) && in.channels % it.groups == 0, "groups");
}

void Check::pool(const NativeOperation& it) {
    const NativeValue &in = value(it.input), &out = value(it.output);
    window(it);
    need(std::max(it.top, it.bottom) < it.rows && std::max(it.left, it.right) < it.columns,
         "a window of padding alone");
    need(out.channels == in.channels, "shape");
}

void Check::window(const NativeOperation& it) {
    const NativeValue &in = value(it.input), &out = value(it.output);
    need(is_within(it.rows, 1, MOST_SIDE) && is_within(it.columns, 1, MOST_SIDE), "window");
    need(is_within(it.stride, 1, MOST_SIDE), "stride");
    for (const int side : {it.top, it.bottom, it.left, it.right})
        need(is_within(side, 0, MOST_SIDE), "padding");
    const int high = in.height + it.top + it.bottom, wide = in.width + it.left + it.right;
    need(high >= it.rows && wide >= it.columns, "window larger than the map");
    need(out.height == (high - it.rows) / it.stride + 1 &&
             out.width == (wide - it.columns) / it.stride + 1,
         "shape");
}

}  // namespace

void check(const NativeProgram& program) { Check(program).all(); }
