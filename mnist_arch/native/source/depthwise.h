// Convolutions of 3×3 with stride 1 in which each channel has a kernel of its own: the nine weights, or
// the nine sums of the gradient, stay in registers, and a pixel that is read is used for two rows.
#pragma once

#include "stencil.h"

/// Whether a stencil is one of these.
bool is_depthwise(const Stencil&);

/// As `apply`, for these.
void apply_depthwise(const Stencil&, const float* weights, const float* from, float* to,
                     const Epilogue&);

/// As `correlate`, for these.
void correlate_depthwise(const Stencil&, const float* from, const float* to, float* sums);
