// The images of a batch, as they come to the network: prepared pixels, or stored bytes, which are
// moved, resampled and normalised on their way.
#pragma once

#include "operation.h"
#include "program.h"

/// Throws std::invalid_argument where an image is not among those that are stored.
void check(const NativeImages&);

/// Floats that a thread lends to `read_images`.
std::size_t scratch_of_images(const Map& map);

/// Fills a group of the map of the images. Lanes without an image are 0.
void read_images(const NativeImages&, const Map& map, int group, int lanes, float* scratch);
