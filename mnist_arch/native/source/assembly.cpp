#include "assembly.h"

#include "elementwise.h"
#include "group_norm.h"
#include "images.h"
#include "pooling.h"

namespace {

constexpr std::ptrdiff_t MOST_FLOATS = std::ptrdiff_t(1) << 31;  // of a group of a map
constexpr std::ptrdiff_t MOST_LENT = 8192 * LANES;  // half a second cache: 256 KiB with AVX2

bool has_two_inputs(const NativeOperation& it) {
    return it.kind == NATIVE_SUM || it.kind == NATIVE_SCALE || it.kind == NATIVE_CONCATENATION ||
           (it.kind == NATIVE_BATCH_NORM && it.other >= 0);
}

bool masks_its_gradient(const NativeOperation& it) { return it.rectifies && it.masks; }

}  // namespace

Assembly::Assembly(Network& network, const NativeProgram& program)
    : network_(network), program_(program), maker_(program.value_count, -1),
      readers_(program.value_count, 0), last_reader_(program.value_count, program.operation_count) {
    for (int index = 0; index < program.operation_count; ++index) {
        const NativeOperation& it = program.operations[index];
        maker_[it.output] = index;
        ++readers_[it.input];
        last_reader_[it.input] = index;
        if (!has_two_inputs(it)) continue;
        ++readers_[it.other];
        last_reader_[it.other] = index;
    }
    for (int index = 0; index < program.parameter_count; ++index) {
        const std::int64_t size = program.parameters[index].size;
        network_.parameters_.tensors.push_back({size, network_.parameters_.total, nullptr});
        network_.parameters_.total += size;
    }
}

void Assembly::build(int threads) {
    share_gradients();
    set_borders();
    plan_gradients();
    plan_values();
    ask_for_memory(threads);
    written_.assign(program_.value_count, false);
    network_.logits_ = program_.operations[program_.operation_count - 1].output;
    network_.operations_.resize(program_.operation_count);
    network_.masks_.resize(dropouts_before(program_.operation_count));
    for (int index = program_.operation_count - 1; index >= 0; --index)
        network_.operations_[index] = make(index);
}

Window Assembly::window(const NativeOperation& it) const {
    return {{it.rows, it.top, it.bottom}, {it.columns, it.left, it.right}, it.stride};
}

Kernel Assembly::kernel(const NativeOperation& it) const {
    return {window(it), it.groups, it.replicates != 0, it.channels_last != 0};
}

/// Whether another convolution pads the same input otherwise.
bool Assembly::shares_border(const NativeOperation& it) const {
    return std::any_of(program_.operations, program_.operations + program_.operation_count,
                       [&](const auto& other) {
                           return other.kind == NATIVE_CONVOLUTION && other.input == it.input &&
                                  window(other).pads() && other.replicates != it.replicates;
                       });
}

// ------------------------------------------------------------------------------------------ memory

// The gradient of a sum is that of both its terms. They share it where nothing that comes before
// would change it while it is still read. A second term that is made before the first one reads it
// last: until then it is held, and no sum in between may lead to a change.
void Assembly::share_gradients() {
    gradient_of_.resize(program_.value_count);
    for (int index = 0; index < program_.value_count; ++index) gradient_of_[index] = index;
    std::vector<int> held_from(program_.value_count, program_.operation_count);  // by an operation
    for (int index = program_.operation_count - 1; index >= 0; --index) {
        const NativeOperation& it = program_.operations[index];
        const bool is_sum = it.kind == NATIVE_SUM;
        if (!(is_sum || it.kind == NATIVE_BATCH_NORM) || it.other <= 0) continue;
        const int maker = is_sum ? maker_[it.input] : index, owner = gradient_of_[it.output];
        if (maker < 0) continue;  // the image
        const NativeOperation& last = program_.operations[maker];
        const bool is_held = held_from[owner] < index, changes = masks_its_gradient(last);
        if (is_sum && readers_[it.input] == 1 && !(is_held && changes))
            gradient_of_[it.input] = owner;
        if (is_held || changes || maker_[it.other] >= maker) continue;
        const bool is_skip = readers_[it.other] == 1;
        const bool is_input = readers_[it.other] == 2 && last.input != it.other;
        if (!is_skip && !is_input) continue;
        gradient_of_[it.other] = owner;
        held_from[owner] = std::min(held_from[owner], maker_[it.other]);
    }
}

void Assembly::set_borders() {
    std::vector<Port>& ports = network_.ports_;
    ports.resize(program_.value_count);
    for (int index = 0; index < program_.value_count; ++index) {
        const NativeValue& it = program_.values[index];
        ports[index].value = {nullptr, it.channels, it.height, it.width};
        ports[index].gradient = ports[index].value;
    }
    const auto widen = [](Map& map, Border border) {
        map.border.rows = std::max(map.border.rows, border.rows);
        map.border.columns = std::max(map.border.columns, border.columns);
    };
    for (int index = 0; index < program_.operation_count; ++index) {
        const NativeOperation& it = program_.operations[index];
        if (it.kind != NATIVE_CONVOLUTION) continue;
        const Map &in = ports[it.input].value, &out = ports[it.output].value;
        widen(ports[gradient_of_[it.output]].gradient, kernel(it).gradient_border(in, out));
        widen(ports[it.input].value, kernel(it).input_border(in, out));
        if (it.replicates)
            widen(ports[gradient_of_[it.input]].gradient,
                  {std::max(it.top, it.bottom), std::max(it.left, it.right)});
    }
    for (Port& port : ports) {
        port.value.group = port.value.channels * port.value.plane();
        port.gradient.group = port.gradient.channels * port.gradient.plane();
        if (port.value.group >= MOST_FLOATS || port.gradient.group >= MOST_FLOATS)
            throw std::bad_alloc();
    }
}

// Between two meetings a thread works on one group after the other. What is made and used up within has
// one place for each thread, which stays in its nearer caches, instead of one for each group.
bool Assembly::meets_within(int first, int last) const {
    return std::any_of(program_.operations + first, program_.operations + last,
                       [](const auto& it) { return it.kind == NATIVE_BATCH_NORM; });
}

// A gradient is needed from the last operation that reads its value back to the one that makes it.
// After that its room is another's: what is used again soon is still in a cache.
void Assembly::plan_gradients() {
    struct Need {
        int value, from, to;  // operations, from the later one to the earlier one
    };
    std::vector<Need> needs;
    for (int value = 1; value < program_.value_count; ++value) {
        if (gradient_of_[value] != value) continue;
        needs.push_back({value, last_reader_[value], maker_[value]});
        for (int other = 1; other < program_.value_count; ++other) {
            if (gradient_of_[other] != value) continue;
            needs.back().from = std::max(needs.back().from, last_reader_[other]);
            needs.back().to = std::min(needs.back().to, maker_[other]);
        }
    }
    std::stable_sort(needs.begin(), needs.end(),
                     [](const Need& one, const Need& two) { return one.from > two.from; });
    room_of_.assign(program_.value_count, -1);
    for (const Need& need : needs) {
        const std::ptrdiff_t size = network_.ports_[need.value].gradient.group;
        const bool is_lent = !meets_within(need.to, need.from);
        const auto misfit = [&](const Room& room) { return std::abs(room.group - size); };
        int best = -1;
        for (int index = 0; index < int(rooms_.size()); ++index)
            if (rooms_[index].free_before > need.from && rooms_[index].is_lent == is_lent &&
                (best < 0 || misfit(rooms_[index]) < misfit(rooms_[best])))
                best = index;
        if (best < 0) {
            best = int(rooms_.size());
            rooms_.emplace_back().is_lent = is_lent;
        }
        rooms_[best].group = std::max(rooms_[best].group, size);
        rooms_[best].free_before = need.to;
        room_of_[need.value] = best;
    }
}

// What a norm makes is cheap to make again. Where it fits in a cache, and no more than the gradients of
// weights read it after the next meeting, it is not kept but made again before those.
void Assembly::plan_values() {
    is_lent_.assign(program_.value_count, false);
    network_.again_.resize(program_.operation_count);
    for (int index = 0; index < program_.operation_count; ++index) {
        const NativeOperation& it = program_.operations[index];
        const int last = last_reader_[it.output];
        const bool is_norm = it.kind == NATIVE_BATCH_NORM && it.other < 0 && !it.pools;
        if (!is_norm || readers_[it.output] != 1 || last >= program_.operation_count) continue;
        const NativeOperation& reader = program_.operations[last];
        if (reader.kind != NATIVE_CONVOLUTION || reader.replicates) continue;
        if (meets_within(index + 1, last + 1)) continue;
        if (network_.ports_[it.output].value.group > MOST_LENT) continue;
        is_lent_[it.output] = true;
        network_.again_[last].push_back(index);
    }
}

void Assembly::ask_for_memory(int threads) {
    const int groups = network_.batch_.groups();
    Memory& memory = network_.memory_;
    std::vector<Port>& ports = network_.ports_;
    const auto want = [&](Map& map) {
        map.group = map.channels * map.plane();
        memory.want(&map.data, std::size_t(map.group) * groups);
    };
    for (int index = 0; index < program_.value_count; ++index) {
        Map& map = ports[index].value;
        if (!is_lent_[index]) {
            want(map);
            continue;
        }
        map.slots = network_.slots_.data();
        memory.want(&map.data, std::size_t(map.group) * threads);
    }
    for (Room& room : rooms_)
        memory.want(&room.data, std::size_t(room.group) * (room.is_lent ? threads : groups));
    extras_.resize(program_.operation_count);
    std::size_t scratch = scratch_of_images(ports.front().value);
    for (int index = 0; index < program_.operation_count; ++index) {
        const NativeOperation& it = program_.operations[index];
        const NativeValue& in = program_.values[it.input];
        Extra& extra = extras_[index];
        if (it.kind == NATIVE_DROPOUT) {
            extra.kept = {nullptr, in.channels, it.spatial ? 1 : in.height,
                          it.spatial ? 1 : in.width};
            want(extra.kept);
        } else if (it.kind == NATIVE_GROUP_NORM) {
            extra.kept = {nullptr, 2 * it.groups, 1, 1};
            want(extra.kept);
        } else if (it.kind == NATIVE_BATCH_NORM) {
            memory.want(&extra.sums, std::size_t(groups) * in.channels * 3 * LANES);
        } else if (it.kind == NATIVE_CONVOLUTION) {
            scratch = std::max(scratch, Convolution::scratch(kernel(it), ports[it.input].value,
                                                             ports[it.output].value));
        }
    }
    network_.scratch_.resize(threads);
    for (float*& lent : network_.scratch_) memory.want(&lent, scratch);
    memory.want(&network_.parameters_.gradients, std::size_t(groups) * network_.parameters_.total);
    memory.allocate();
    for (int index = 1; index < program_.value_count; ++index) {
        const int owner = gradient_of_[index];
        ports[index].gradient = ports[owner].gradient;
        const Room& room = rooms_[room_of_[owner]];
        ports[index].gradient.data = room.data;
        ports[index].gradient.group = room.group;
        ports[index].gradient.slots = room.is_lent ? network_.slots_.data() : nullptr;
    }
}

// -------------------------------------------------------------------------------------- operations

int Assembly::dropouts_before(int index) const {
    return int(std::count_if(program_.operations, program_.operations + index,
                             [](const auto& it) { return it.kind == NATIVE_DROPOUT; }));
}

/// A value as an input. Whoever asks first, from the end of the program, writes its gradient; the
/// others add to it. Gradients that are shared are there with the sum's.
Port Assembly::input(int index) {
    Port port = network_.ports_[index];
    port.adds = gradient_of_[index] != index || written_[index];
    written_[index] = true;
    return port;
}

std::unique_ptr<Operation> Assembly::make(int index) {
    const NativeOperation& it = program_.operations[index];
    const Parameters& parameters = network_.parameters_;
    const Port output = network_.ports_[it.output];
    switch (it.kind) {
        case NATIVE_CONVOLUTION: return make_convolution(index);
        case NATIVE_BATCH_NORM: return make_batch_norm(index);
        case NATIVE_GROUP_NORM:
            return std::make_unique<GroupNorm>(parameters, input(it.input), output,
                                               extras_[index].kept,
                                               GroupNorm::Options{it.weight, it.bias, it.groups,
                                                                  float(it.epsilon)});
        case NATIVE_ACTIVATION:
            return std::make_unique<Activation>(parameters, input(it.input), output,
                                                Activation::Options{Function(it.function),
                                                                    it.weight, it.slope});
        case NATIVE_POOLING:
            return std::make_unique<Pooling>(input(it.input), output, window(it), it.averages != 0);
        case NATIVE_DROPOUT:
            return std::make_unique<Dropout>(
                network_.batch_, network_.masks_[dropouts_before(index)], input(it.input), output,
                extras_[index].kept,
                Dropout::Options{it.rate, it.spatial != 0, it.channels_last != 0});
        case NATIVE_SUM: {
            const Port one = input(it.input);
            return std::make_unique<Sum>(one, input(it.other), output);
        }
        case NATIVE_CONCATENATION: {
            const Port one = input(it.input);
            return std::make_unique<Concatenation>(one, input(it.other), output);
        }
        default: {
            const Port one = input(it.input);
            return std::make_unique<Scale>(one, input(it.other), output);
        }
    }
}

std::unique_ptr<Operation> Assembly::make_convolution(int index) {
    const NativeOperation& it = program_.operations[index];
    Convolution::Options options{it.weight, it.bias, it.rectifies != 0, it.slope, it.masks != 0};
    options.shares_border = shares_border(it);
    if (index + 1 < program_.operation_count) {
        const NativeOperation& next = program_.operations[index + 1];
        if (next.kind == NATIVE_BATCH_NORM && next.input == it.output) {
            options.sums = extras_[index + 1].sums;
            options.sums_bias = next.input_bias < 0;
        }
    }
    return std::make_unique<Convolution>(network_.batch_, network_.parameters_, kernel(it),
                                         input(it.input), network_.ports_[it.output], options);
}

std::unique_ptr<Operation> Assembly::make_batch_norm(int index) {
    const NativeOperation& it = program_.operations[index];
    BatchNorm::Options options;
    options.scale = it.weight;
    options.shift = it.bias;
    options.epsilon = it.epsilon;
    options.momentum = it.momentum;
    options.parts = it.parts;
    options.bias = it.input_bias;
    options.masks_input = it.masks_input;
    options.rectifies = it.rectifies;
    options.slope = it.slope;
    options.pools = it.pools;
    options.sums = extras_[index].sums;
    if (it.other >= 0) options.term = input(it.other);
    if (index > 0) {
        const NativeOperation& before = program_.operations[index - 1];
        options.input_slope = before.slope;
        options.input_sums = before.kind == NATIVE_CONVOLUTION && before.output == it.input;
    }
    return std::make_unique<BatchNorm>(network_.batch_, network_.parameters_,
                                       network_.running_[it.running], input(it.input),
                                       network_.ports_[it.output], options);
}
