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
bool Window::is_for_winograd(const Map& input, const Map& output) const {
    return kernel == 3 && stride == 1 && groups == 1 && input.channels >= 4 &&
           output.channels >= 4 && output.width >= 4;
}

int Window::input_border(const Map& input, const Map& output) const {
    return padding + (is_for_winograd(input, output) && output.width % 2 == 1 ? 1 : 0);
}

int Window::gradient_border(const Map& input, const Map& output) const {
    const int tiles = is_for_winograd(input, output) ? kernel - 1 - padding + input.width % 2 : 0;
    const int before = kernel - 1 - padding, extra = replicates ? padding : 0;
    const int last = floor_divided(input.width - 1 + extra + padding, stride);
    const int first = floor_divided(-extra - before, stride);
    return std::max({tiles, -first, last - (output.width - 1)});
}

Convolution::Convolution(const Batch& batch, const Parameters& parameters, Window window,
                         Port input, Port output, Options options)
    : batch_(batch), parameters_(parameters), window_(window), input_(input), output_(output),
      options_(options), inputs_(input.value.channels / window.groups),
      outputs_(output.value.channels / window.groups), forward_(forward_stencil()),
      products_(forward_.stencil) {
    const Map& change = output.gradient;
    products_.to = {change.border * (change.row() + LANES), change.row(), LANES, change.plane()};
    for (int output_channel = 0; output_channel < output.value.channels; ++output_channel)
        for (int c = 0; c < inputs_; ++c)
            for (int ky = 0; ky < window_.kernel; ++ky)
                for (int kx = 0; kx < window_.kernel; ++kx)
                    places_.push_back(place(output_channel, c, ky, kx));
    const bool winograd = window_.is_for_winograd(input.value, output.value);
    if (winograd) {
        winograd_.emplace(input.value, output.value, window_.padding, Winograd::TILES);
        winograd_products_.emplace(input.value, output.gradient, window_.padding,
                                   Winograd::TILES_OF_PRODUCTS);
    }
    if (!input_.wanted()) return;
    if (winograd && !window_.replicates) {
        for (int c = 0; c < inputs_; ++c)
            for (int o = 0; o < outputs_; ++o)
                for (int k = 8; k >= 0; --k) mirrored_.push_back(places_[(o * inputs_ + c) * 9 + k]);
        winograd_backward_.emplace(output.gradient, input.gradient, 2 - window_.padding,
                                   Winograd::TILES);
        return;
    }
    for (int y = 0; y < window_.stride; ++y)
        for (int x = 0; x < window_.stride; ++x) backward_.push_back(backward_stencil(y, x));
}

std::size_t Convolution::scratch(const Window& window, const Map& input, const Map& output) {
    const int inputs = input.channels / window.groups, outputs = output.channels;
    std::size_t most = std::size_t(inputs) * outputs * window.kernel * window.kernel * LANES;
    if (window.is_for_winograd(input, output))
        for (const int tiles : {Winograd::TILES, Winograd::TILES_OF_PRODUCTS})
            for (const int side : {input.width, output.width})
                most = std::max(most, Winograd::scratch(inputs, outputs, side, tiles));
    return most;
}

int Convolution::place(int output, int input, int ky, int kx) const {
    const int kernel = window_.kernel;
    return window_.channels_last ? ((output * kernel + ky) * kernel + kx) * inputs_ + input
                                 : ((output * inputs_ + input) * kernel + ky) * kernel + kx;
}

void Convolution::Packed::pack(const float* from) {
    for (std::size_t index = 0; index < places.size(); ++index) weights[index] = from[places[index]];
}

Convolution::Packed Convolution::forward_stencil() const {
    const Map &in = input_.value, &out = output_.value;
    const std::ptrdiff_t corner = (in.border - window_.padding) * (in.row() + LANES);
    Packed packed;
    Stencil& stencil = packed.stencil;
    stencil.rows = out.height;
    stencil.columns = out.width;
    stencil.groups = window_.groups;
    stencil.inputs = inputs_;
    stencil.outputs = outputs_;
    stencil.blocks = blocks_of(outputs_);
    stencil.from = {corner, window_.stride * in.row(), window_.stride * LANES, in.plane()};
    stencil.to = {out.border * (out.row() + LANES), out.row(), LANES, out.plane()};
    for (int c = 0; c < inputs_; ++c)
        for (int ky = 0; ky < window_.kernel; ++ky)
            for (int kx = 0; kx < window_.kernel; ++kx)
                stencil.taps.push_back(int(c * in.plane() + ky * in.row() + kx * LANES));
    for (int group = 0; group < window_.groups; ++group) {
        int first = group * outputs_;
        for (const int size : stencil.blocks) {
            for (int c = 0; c < inputs_; ++c)
                for (int ky = 0; ky < window_.kernel; ++ky)
                    for (int kx = 0; kx < window_.kernel; ++kx)
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
    const int stride = window_.stride, kernel = window_.kernel;
    const int extra = window_.replicates ? window_.padding : 0;
    const int padding = window_.padding - extra;
    const std::ptrdiff_t corner = (in.border - extra) * (in.row() + LANES);
    Packed packed;
    Stencil& stencil = packed.stencil;
    stencil.rows = in_phase(in.height + 2 * extra, phase_y, stride);
    stencil.columns = in_phase(in.width + 2 * extra, phase_x, stride);
    stencil.groups = window_.groups;
    stencil.inputs = outputs_;
    stencil.outputs = inputs_;
    stencil.blocks = blocks_of(inputs_);
    stencil.from = {out.border * (out.row() + LANES), out.row(), LANES, out.plane()};
    stencil.to = {corner + phase_y * in.row() + phase_x * LANES, stride * in.row(), stride * LANES,
                  in.plane()};
    struct Tap { int output, ky, kx; };
    std::vector<Tap> taps;
    for (int o = 0; o < outputs_; ++o)
        for (int ky = kernel - 1; ky >= 0; --ky)
            for (int kx = kernel - 1; kx >= 0; --kx) {
                const int y = phase_y + padding - ky, x = phase_x + padding - kx;
                if (y % stride != 0 || x % stride != 0) continue;
                taps.push_back({o, ky, kx});
                stencil.taps.push_back(int(o * out.plane() + floor_divided(y, stride) * out.row() +
                                           floor_divided(x, stride) * LANES));
            }
    for (int group = 0; group < window_.groups; ++group) {
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
    if (window_.replicates) in.replicate_border(group);
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
    if (output_.gradient.border > 0) output_.gradient.clear_border(group);
    weight_gradient(group, scratch);
    if (input_.wanted()) input_gradient(group, scratch);
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
    if (window_.replicates) in.clear_border(group);
    Epilogue epilogue;
    epilogue.adds = input_.adds;
    if (winograd_backward_) return winograd_backward_->apply(group, epilogue, scratch);
    for (const Packed& packed : backward_)
        apply(packed.stencil, packed.weights.data(), out.start(group), in.start(group), epilogue);
    if (window_.replicates) in.fold_border(group);
}
