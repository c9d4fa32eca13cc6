// A network as numbers: what Python hands over. Every field is checked before it is used.
#pragma once

#include <cstdint>

extern "C" {

/// A value between two operations, one of an image.
struct NativeValue {
    std::int32_t channels, height, width;
};

enum NativeKind : std::int32_t {
    NATIVE_CONVOLUTION,
    NATIVE_BATCH_NORM,
    NATIVE_GROUP_NORM,
    NATIVE_ACTIVATION,
    NATIVE_POOLING,
    NATIVE_DROPOUT,
    NATIVE_SUM,
    NATIVE_SCALE,
    NATIVE_CONCATENATION,
};

/// One operation. Values, parameters and running statistics are named by their places in lists; -1
/// is none. Fields that a kind does not name are not looked at.
struct NativeOperation {
    std::int32_t kind;
    std::int32_t input, other, output;  // a batch norm may add `other` at its end
    std::int32_t weight, bias;  // of a norm: its scale and shift; `weight` is also PReLU's slopes
    std::int32_t running;       // statistics of a batch norm
    std::int32_t parts;         // of a batch, that a batch norm takes apart in training
    std::int32_t rows, columns, stride;          // of a window
    std::int32_t top, bottom, left, right;       // pixels of its padding
    std::int32_t groups;        // of a convolution, or a group norm
    std::int32_t replicates;    // padding with the nearest pixel
    std::int32_t channels_last;  // order of a weight, or of a mask of a dropout
    std::int32_t function;      // of an activation
    std::int32_t averages;      // a pool, else it is the largest
    std::int32_t spatial;       // a dropout of whole channels
    std::int32_t rectifies;     // its output, by `slope`
    std::int32_t masks;         // a convolution takes its rectifier's gradient itself
    std::int32_t masks_input;   // a batch norm takes that of the rectifier before it
    std::int32_t pools;         // a batch norm ends in the largest of each 2×2
    std::int32_t input_bias;    // of the convolution before a batch norm, which sums its gradient
    float slope, rate;
    double epsilon, momentum;  // of a norm
};

/// A tensor that is learned.
struct NativeParameter {
    std::int64_t size;
    std::int32_t decays, is_penalized;
};

struct NativeProgram {
    std::int32_t value_count, operation_count, parameter_count, running_count;
    const NativeValue* values;
    const NativeOperation* operations;
    const NativeParameter* parameters;
    const std::int32_t* running_sizes;
};

enum NativeOptimizer : std::int32_t {
    NATIVE_SGD,
    NATIVE_ADAM,
    NATIVE_ADAMW,
    NATIVE_RMSPROP,
    NATIVE_ADADELTA,
    NATIVE_ADAGRAD,
};

struct NativeRecipe {
    std::int32_t optimizer, is_nesterov;
    double square_decay;  // of the mean of squared gradients: beta2, alpha or rho
    double weight_decay, epsilon;
    double l1;         // what the loss has for each unit of the sum of absolute values
    double clip_norm;  // 0 for none
    double label_smoothing;
    double teacher_weight;  // share of the loss that is a teacher's; 0 for none
    double temperature;
};

/// Addresses in torch's memory, by the places in the program. What is not there is null.
struct NativeTensors {
    float* const* values;
    float* const* momenta;
    float* const* squares;
    float* const* means;  // of gradients, of a centred RMSprop; of squared changes, of Adadelta
    float* const* steps;
    float* const* averages;
    float* const* running_means;
    float* const* running_variances;
    std::int64_t* const* running_batches;
    float* const* average_means;
    float* const* average_variances;
    std::int64_t* const* average_batches;
};

/// The images of a pass. Coordinates are from -1 to 1 over the edges of an image.
struct NativeImages {
    std::int32_t count;
    const float* pixels;         // [image][channel][row][column] as the network sees them, or null:
    const std::uint8_t* bytes;   // of all images that are stored, in the same order
    std::int64_t stored;         // how many these are
    const std::int64_t* places;  // [image] among them
    const float* affine;         // [image][2][3] from coordinates after to those before, or null
    const float* displacement;   // [image][row][column][2], added to those before, or null
    const std::int32_t* erased;  // [image][2]: first row and column of a square, or null
    std::int32_t erased_side;
    float mean, deviation;       // of pixels from 0 to 1, for the normalisation
};

struct NativeStep {
    NativeImages images;
    const std::int64_t* labels;  // [image]
    const float* targets;        // [image][class] of a teacher, at the temperature; null for none
    const float* const* masks;   // of each dropout, in the order of the program
    double rate, momentum;  // the latter is beta1 of Adam
    double average_weight;  // below 0 without an average
};

}  // extern "C"
