#include "convolution.h"

namespace {

/// `count` rounded down to whole steps, for negative ones, too.
int floor_divided(int count, int step) {
    return count >= 0 ? count / step : -((-count + step - 1) / step);
}

/// How many of 0 … size - 1 are `phase` after whole steps.
int in_phase(int size, int phase, int step) { return size > phase ? (size - phase - 1) / step + 1 : 0; }

}  // namespace

/// Where F(2×2, 3×3) was faster than sums over the kernel: see docs/performance.md.
bool Kernel::is_for_winograd(const Map& input, const Map& output) const {
    const auto fits = [](const Axis& it) {
        return it.size == 3 && it.before < 3 && it.after < 3;
    };
    return fits(rows) && fits(columns) && stride == 1 && groups == 1 && input.channels >= 4 &&
           output.channels >= 4 && output.width >= 4 && output.height >= 4;
}

Border Kernel::input_border(const Map& input, const Map& output) const {
    const bool winograd = is_for_winograd(input, output);
    const auto around = [&](const Axis& it, int size) {
        return std::max(it.before, it.after + (winograd ? size % 2 : 0));
    };
    return {around(rows, output.height), around(columns, output.width)};
}

Border Kernel::gradient_border(const Map& input, const Map& output) const {
    const bool winograd = is_for_winograd(input, output);
    const Window more = padded();
    const auto around = [&](const Axis& it, const Axis& extra, int from, int to) {
        const int first = floor_divided(it.before - extra.before - (it.size - 1), stride);
        const int last = floor_divided(from - 1 + it.before + extra.after, stride);
        const int tiles =
            winograd ? std::max({2 - it.before, 2 - it.after + from % 2, to % 2}) : 0;
        return std::max({tiles, -first, last - (to - 1)});
    };
    return {around(rows, more.rows, input.height, output.height),
            around(columns, more.columns, input.width, output.width)};
}

Window Kernel::padded() const {
    Window more;
    if (!replicates) return more;
    more.rows = rows;
    more.columns = columns;
    return more;
}

Convolution::Convolution(const Batch& batch, const Parameters& parameters, Kernel kernel,
                         Port input, Port output, Options options)
    : batch_(batch), parameters_(parameters), kernel_(kernel), input_(input), output_(output),
      options_(options), inputs_(input.value.channels / kernel.groups),
      outputs_(output.value.channels / kernel.groups), forward_(forward_stencil()),
      products_(forward_.stencil) {
    const Map& change = output.gradient;
    const int top = kernel.rows.before, left = kernel.columns.before;
    products_.to = {change.inside(), change.row(), LANES, change.plane()};
    for (int output_channel = 0; output_channel < output.value.channels; ++output_channel)
        for (int c = 0; c < inputs_; ++c)
            for (int ky = 0; ky < kernel.rows.size; ++ky)
                for (int kx = 0; kx < kernel.columns.size; ++kx)
                    places_.push_back(place(output_channel, c, ky, kx));
    const bool winograd = kernel.is_for_winograd(input.value, output.value);
    if (winograd) {
        winograd_.emplace(input.value, output.value, top, left, Winograd::TILES);
        winograd_products_.emplace(input.value, output.gradient, top, left,
                                   Winograd::TILES_OF_PRODUCTS);
    }
    if (!input_.wanted()) return;
    if (winograd && !kernel.replicates) {
        for (int c = 0; c < inputs_; ++c)
            for (int o = 0; o < outputs_; ++o)
                for (int k = 8; k >= 0; --k) mirrored_.push_back(places_[(o * inputs_ + c) * 9 + k]);
        winograd_backward_.emplace(output.gradient, input.gradient, 2 - top, 2 - left,
                                   Winograd::TILES);
        return;
    }
    for (int y = 0; y < kernel.stride; ++y)
        for (int x = 0; x < kernel.stride; ++x) backward_.push_back(backward_stencil(y, x));
}

std::size_t Convolution::scratch(const Kernel& kernel, const Map& input, const Map& output) {
    const int inputs = input.channels / kernel.groups, outputs = output.channels;
    std::size_t most =
        std::size_t(inputs) * outputs * kernel.rows.size * kernel.columns.size * LANES;
    if (!kernel.is_for_winograd(input, output)) return most;
    for (const int tiles : {Winograd::TILES, Winograd::TILES_OF_PRODUCTS})
        most = std::max(most, Winograd::scratch(inputs, outputs, output, tiles));
    return std::max(most, Winograd::scratch(outputs, inputs, input, Winograd::TILES));  // backward
}

int Convolution::place(int output, int input, int ky, int kx) const {
    const int high = kernel_.rows.size, wide = kernel_.columns.size;
    return kernel_.channels_last ? ((output * high + ky) * wide + kx) * inputs_ + input
                                 : ((output * inputs_ + input) * high + ky) * wide + kx;
}

void Convolution::Packed::pack(const float* from) {
    for (std::size_t index = 0; index < places.size(); ++index) weights[index] = from[places[index]];
}

Convolution::Packed Convolution::forward_stencil() const {
    const Map &in = input_.value, &out = output_.value;
    const int high = kernel_.rows.size, wide = kernel_.columns.size;
    const std::ptrdiff_t corner = in.inside(-kernel_.rows.before, -kernel_.columns.before);
    Packed packed;
    Stencil& stencil = packed.stencil;
    stencil.rows = out.height;
    stencil.columns = out.width;
    stencil.groups = kernel_.groups;
    stencil.inputs = inputs_;
    stencil.outputs = outputs_;
    stencil.blocks = blocks_of(outputs_);
    stencil.from = {corner, kernel_.stride * in.row(), kernel_.stride * LANES, in.plane()};
    stencil.to = {out.inside(), out.row(), LANES, out.plane()};
    for (int c = 0; c < inputs_; ++c)
        for (int ky = 0; ky < high; ++ky)
            for (int kx = 0; kx < wide; ++kx)
                stencil.taps.push_back(int(c * in.plane() + ky * in.row() + kx * LANES));
    for (int group = 0; group < kernel_.groups; ++group) {
        int first = group * outputs_;
        for (const int size : stencil.blocks) {
            for (int c = 0; c < inputs_; ++c)
                for (int ky = 0; ky < high; ++ky)
                    for (int kx = 0; kx < wide; ++kx)
                        for (int o = 0; o < size; ++o)
                            packed.places.push_back(place(first + o, c, ky, kx));
            first += size;
        }
    }
    packed.weights.resize(packed.places.size());
    return packed;
}

// The pixels of the input that lie `phase` after whole strides are under the same weights. Where the
// padding repeats the map's edge its pixels get a gradient of their own, which is then added there.
Convolution::Packed Convolution::backward_stencil(int phase_y, int phase_x) const {
    const Map &in = input_.gradient, &out = output_.gradient;
    const Window more = kernel_.padded();
    const int stride = kernel_.stride;
    const int top = kernel_.rows.before - more.rows.before;
    const int left = kernel_.columns.before - more.columns.before;
    Packed packed;
    Stencil& stencil = packed.stencil;
    stencil.rows = in_phase(in.height + more.rows.before + more.rows.after, phase_y, stride);
    stencil.columns = in_phase(in.width + more.columns.before + more.columns.after, phase_x, stride);
    stencil.groups = kernel_.groups;
    stencil.inputs = outputs_;
    stencil.outputs = inputs_;
    stencil.blocks = blocks_of(inputs_);
    stencil.from = {out.inside(), out.row(), LANES, out.plane()};
    stencil.to = {in.inside(phase_y - more.rows.before, phase_x - more.columns.before),
                  stride * in.row(), stride * LANES, in.plane()};
    struct Tap { int output, ky, kx; };
    std::vector<Tap> taps;
    for (int o = 0; o < outputs_; ++o)
        for (int ky = kernel_.rows.size - 1; ky >= 0; --ky)
            for (int kx = kernel_.columns.size - 1; kx >= 0; --kx) {
                const int y = phase_y + top - ky, x = phase_x + left - kx;
                if (y % stride != 0 || x % stride != 0) continue;
                taps.push_back({o, ky, kx});
                stencil.taps.push_back(int(o * out.plane() + floor_divided(y, stride) * out.row() +
                                           floor_divided(x, stride) * LANES));
            }
    for (int group = 0; group < kernel_.groups; ++group) {
        int first = 0;
        for (const int size : stencil.blocks) {
            for (const Tap& tap : taps)
                for (int c = 0; c < size; ++c)
                    packed.places.push_back(
                        place(group * outputs_ + tap.output, first + c, tap.ky, tap.kx));
            first += size;
        }
    }
    packed.weights.resize(packed.places.size());
    return packed;
}

void Convolution::prepare() {
    const float* const weights = parameters_.value(options_.weight);
    winograd_ ? winograd_->pack(weights, places_) : forward_.pack(weights);
    if (!batch_.trains) return;
    if (winograd_backward_) winograd_backward_->pack(weights, mirrored_);
    for (Packed& packed : backward_) packed.pack(weights);
}

void Convolution::forward(int group, float* scratch) {
    const Map &in = input_.value, &out = output_.value;
    if (kernel_.replicates || options_.shares_border) fill_border(group);
    Epilogue epilogue;
    epilogue.bias = options_.bias < 0 ? nullptr : parameters_.value(options_.bias);
    epilogue.rectifies = options_.rectifies;
    epilogue.slope = options_.slope;
    if (batch_.trains && options_.sums)
        epilogue.sums = options_.sums + std::ptrdiff_t(group) * out.channels * 3 * LANES;
    if (winograd_) return winograd_->apply(group, epilogue, scratch);
    apply(forward_.stencil, forward_.weights.data(), in.start(group), out.start(group), epilogue);
}

void Convolution::backward(int group, float* scratch) {
    if (options_.rectifies && options_.masks) mask_gradient(group);
    if (options_.bias >= 0 && options_.sums_bias) bias_gradient(group);
    if (output_.gradient.has_border()) output_.gradient.clear_border(group);
    if (options_.shares_border) fill_border(group);
    weight_gradient(group, scratch);
    if (input_.wanted()) input_gradient(group, scratch);
}

void Convolution::fill_border(int group) const {
    kernel_.replicates ? input_.value.replicate_border(group) : input_.value.clear_border(group);
}

void Convolution::mask_gradient(int group) const {
    const Map &value = output_.value, &gradient = output_.gradient;
    for (int channel = 0; channel < value.channels; ++channel)
        for (int y = 0; y < value.height; ++y) {
            const float* const out = value.at(group, channel, y);
            float* const change = gradient.at(group, channel, y);
            for (int x = 0; x < value.width * LANES; x += LANES)
                store(change + x,
                      through_rectifier(load(change + x), load(out + x), options_.slope));
        }
}

void Convolution::bias_gradient(int group) const {
    float* const to = parameters_.gradient(group, options_.bias);
    const Map& gradient = output_.gradient;
    for (int channel = 0; channel < gradient.channels; ++channel) {
        Vector total{};
        for (int y = 0; y < gradient.height; ++y) {
            const float* const change = gradient.at(group, channel, y);
            Vector row{};
            for (int x = 0; x < gradient.width * LANES; x += LANES) row = row + load(change + x);
            total = total + row;
        }
        to[channel] += sum(total);
    }
}

void Convolution::weight_gradient(int group, float* sums) const {
    const Map &in = input_.value, &out = output_.gradient;
    float* const to = parameters_.gradient(group, options_.weight);
    if (winograd_products_) return winograd_products_->correlate(group, places_, to, sums);
    std::fill_n(sums, places_.size() * LANES, 0.0f);
    correlate(products_, in.start(group), out.start(group), sums);
    for (std::size_t index = 0; index < places_.size(); ++index)
        to[places_[index]] += sum(load(sums + index * LANES));
}

void Convolution::input_gradient(int group, float* scratch) const {
    const Map &in = input_.gradient, &out = output_.gradient;
    if (kernel_.replicates) in.clear_border(group);
    Epilogue epilogue;
    epilogue.adds = input_.adds;
    if (winograd_backward_) return winograd_backward_->apply(group, epilogue, scratch);
    for (const Packed& packed : backward_)
        apply(packed.stencil, packed.weights.data(), out.start(group), in.start(group), epilogue);
    if (kernel_.replicates) in.fold_border(group);
}
