#include "elementwise.h"

namespace {

constexpr float ROOT_OF_HALF = 0.70710678118654752f, DENSITY = 0.39894228040143268f;

Vector sigmoid(Vector x) { return 1.0f / (1.0f + exponential(-x)); }

/// The share of a normal distribution that lies below x.
Vector normal_below(Vector x) { return 0.5f * (1.0f + error_function(x * ROOT_OF_HALF)); }

Vector value_of(Function function, Vector x, float slope) {
    switch (function) {
        case Function::RELU: return rectified(x, 0);
        case Function::LEAKY_RELU:
        case Function::PRELU: return x > 0.0f ? x : x * slope;
        case Function::GELU: return x * normal_below(x);
        case Function::SILU: return x * sigmoid(x);
        case Function::HARDSWISH: {
            const Vector gate = larger(Vector{}, x + 3.0f);
            return x * (gate > 6.0f ? all(6.0f) : gate) * (1.0f / 6.0f);
        }
        case Function::SIGMOID: return sigmoid(x);
    }
    return x;
}

Vector slope_of(Function function, Vector x, float slope) {
    const Vector zero{}, one = all(1);
    switch (function) {
        case Function::RELU: return x > 0.0f ? one : zero;
        case Function::LEAKY_RELU:
        case Function::PRELU: return x > 0.0f ? one : all(slope);
        case Function::GELU:
            return normal_below(x) + x * DENSITY * exponential(-0.5f * x * x);
        case Function::SILU: {
            const Vector gate = sigmoid(x);
            return gate * (1.0f + x * (1.0f - gate));
        }
        case Function::HARDSWISH:
            return x < -3.0f ? zero : x <= 3.0f ? x * (1.0f / 3.0f) + 0.5f : one;
        case Function::SIGMOID: {
            const Vector gate = sigmoid(x);
            return gate * (1.0f - gate);
        }
    }
    return one;
}

/// Calls visit(channel, y, offset in the row) for all pixels of a map.
template <typename Visit>
void over(const Map& map, Visit visit) {
    for (int c = 0; c < map.channels; ++c)
        over_channel(map, [&](int y, int x) { visit(c, y, x); });
}

}  // namespace

// ------------------------------------------------------------------------------------- activation

Activation::Activation(const Parameters& parameters, Port input, Port output, Options options)
    : parameters_(parameters), input_(input), output_(output), options_(options) {
    if (options.weight >= 0 && parameters.tensors[options.weight].size > 1) slope_step_ = 1;
}

float Activation::slope(int channel) const {
    return options_.function == Function::PRELU
               ? parameters_.value(options_.weight)[channel * slope_step_]
               : options_.slope;
}

void Activation::forward(int group, float*) {
    const Map &in = input_.value, &out = output_.value;
    const Function function = options_.function;
    for (int c = 0; c < in.channels; ++c) {
        const float slope = this->slope(c);
        over_channel(in, [&](int y, int x) {
            store(out.at(group, c, y) + x, value_of(function, load(in.at(group, c, y) + x), slope));
        });
    }
}

void Activation::backward(int group, float*) {
    const Map &in = input_.value, &change = output_.gradient;
    const Function function = options_.function;
    for (int c = 0; c < in.channels; ++c) {
        const float slope = this->slope(c);
        Vector below{};
        over_channel(in, [&](int y, int x) {
            const Vector value = load(in.at(group, c, y) + x);
            const Vector gradient = load(change.at(group, c, y) + x);
            if (function == Function::PRELU)
                below = below + (value > 0.0f ? Vector{} : value * gradient);
            if (input_.wanted())
                put(input_.gradient.at(group, c, y) + x,
                    gradient * slope_of(function, value, slope), input_.adds);
        });
        if (function == Function::PRELU)
            parameters_.gradient(group, options_.weight)[c * slope_step_] += sum(below);
    }
}

// ---------------------------------------------------------------------------------------- dropout

Dropout::Dropout(const Batch& batch, const float* const& mask, Port input, Port output, Map kept,
                 Options options)
    : batch_(batch), mask_(mask), input_(input), output_(output), kept_(kept), options_(options) {}

void Dropout::forward(int group, float*) {
    if (batch_.trains) {
        read_mask(group);
        return scale(group, input_.value, output_.value, false);
    }
    over(input_.value, [&](int c, int y, int x) {
        store(output_.value.at(group, c, y) + x, load(input_.value.at(group, c, y) + x));
    });
}

void Dropout::backward(int group, float*) {
    if (input_.wanted()) scale(group, output_.gradient, input_.gradient, input_.adds);
}

void Dropout::read_mask(int group) const {
    const std::ptrdiff_t channels = kept_.channels, pixels = kept_.pixels();
    const std::ptrdiff_t step = options_.channels_last ? channels : 1;
    const std::ptrdiff_t channel_step = options_.channels_last ? 1 : pixels;
    const float share = 1 - options_.rate;
    const int lanes = batch_.lanes(group);
    const float* const first = mask_ + std::ptrdiff_t(group) * LANES * channels * pixels;
    for (int c = 0; c < kept_.channels; ++c) {
        float* to = kept_.at(group, c);
        for (std::ptrdiff_t pixel = 0; pixel < pixels; ++pixel, to += LANES) {
            const float* const from = first + c * channel_step + pixel * step;
            Vector kept{};
            for (int lane = 0; lane < lanes; ++lane) kept[lane] = from[lane * channels * pixels];
            store(to, kept / share);
        }
    }
}

void Dropout::scale(int group, const Map& from, const Map& to, bool adds) const {
    for (int c = 0; c < from.channels; ++c) {
        const float* kept = kept_.at(group, c);
        const int step = options_.spatial ? 0 : LANES;
        for (int y = 0; y < from.height; ++y)
            for (int x = 0; x < from.width * LANES; x += LANES, kept += step)
                put(to.at(group, c, y) + x, load(from.at(group, c, y) + x) * load(kept), adds);
    }
}

// ------------------------------------------------------------------ sum, concatenation and scale

void Sum::forward(int group, float*) {
    const Map &one = ports_[0].value, &two = ports_[1].value, &out = output_.value;
    over(out, [&](int c, int y, int x) {
        store(out.at(group, c, y) + x,
              load(one.at(group, c, y) + x) + load(two.at(group, c, y) + x));
    });
}

void Sum::backward(int group, float*) {
    for (const Port& port : ports_) {
        if (!port.wanted() || port.gradient.data == output_.gradient.data) continue;
        over(port.gradient, [&](int c, int y, int x) {
            put(port.gradient.at(group, c, y) + x, load(output_.gradient.at(group, c, y) + x),
                port.adds);
        });
    }
}

void Concatenation::forward(int group, float*) {
    int first = 0;
    for (const Port& port : ports_) {
        over(port.value, [&](int c, int y, int x) {
            store(output_.value.at(group, first + c, y) + x, load(port.value.at(group, c, y) + x));
        });
        first += port.value.channels;
    }
}

void Concatenation::backward(int group, float*) {
    int first = 0;
    for (const Port& port : ports_) {
        if (port.wanted())
            over(port.value, [&](int c, int y, int x) {
                put(port.gradient.at(group, c, y) + x,
                    load(output_.gradient.at(group, first + c, y) + x), port.adds);
            });
        first += port.value.channels;
    }
}

void Scale::forward(int group, float*) {
    const Map &in = input_.value, &factors = factors_.value, &out = output_.value;
    over(in, [&](int c, int y, int x) {
        store(out.at(group, c, y) + x,
              load(in.at(group, c, y) + x) * load(factors.at(group, c)));
    });
}

void Scale::backward(int group, float*) {
    const Map &in = input_.value, &factors = factors_.value, &change = output_.gradient;
    for (int c = 0; c < in.channels; ++c) {
        const Vector factor = load(factors.at(group, c));
        Vector total{};
        for (int y = 0; y < in.height; ++y)
            for (int x = 0; x < in.width * LANES; x += LANES) {
                const Vector gradient = load(change.at(group, c, y) + x);
                total = fma(gradient, load(in.at(group, c, y) + x), total);
                if (input_.wanted())
                    put(input_.gradient.at(group, c, y) + x, gradient * factor, input_.adds);
            }
        put(factors_.gradient.at(group, c), total, factors_.adds);
    }
}
