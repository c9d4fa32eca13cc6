// A map of all images: [group of LANES images][channel][row][column][lane], with a border around the
// rows and columns of each channel, in which a convolution finds its padding.
#pragma once

#include <cstddef>

#include "vector.h"

/// Pixels around a map: rows above and as many below, columns on the left and as many on the right.
struct Border {
    int rows = 0, columns = 0;
};

struct Map {
    float* data = nullptr;
    int channels = 0, height = 0, width = 0;
    Border border{};
    std::ptrdiff_t group = 0;  // floats of a group
    const int* slots = nullptr;  // where each group is, if not in their order: see Assembly

    std::ptrdiff_t row() const { return std::ptrdiff_t(width + 2 * border.columns) * LANES; }
    std::ptrdiff_t plane() const { return (height + 2 * border.rows) * row(); }
    int pixels() const { return height * width; }
    bool has_border() const { return border.rows > 0 || border.columns > 0; }

    /// From the first pixel of a channel with its border to the one that is `y` rows and `x` columns
    /// after the first inside.
    std::ptrdiff_t inside(int y = 0, int x = 0) const {
        return (border.rows + y) * row() + (border.columns + x) * LANES;
    }

    float* start(int group_index) const {
        return data + (slots ? slots[group_index] : group_index) * group;
    }

    /// The first pixel of a channel inside the border; rows are `row()` floats apart.
    float* at(int group_index, int channel, int y = 0) const {
        return start(group_index) + channel * plane() + inside(y);
    }

    /// Sets the border of all channels of a group to 0.
    void clear_border(int group_index) const;

    /// Fills the border with the nearest pixels of the map.
    void replicate_border(int group_index) const;

    /// Adds the border to the pixels that it was filled with, and sets it to 0.
    void fold_border(int group_index) const;
};
