// The window of a convolution or a pool, which slides over a map with padding.
#pragma once

/// One direction of it: its pixels, and those of the padding before and after the map.
struct Axis {
    int size = 1, before = 0, after = 0;
};

struct Window {
    Axis rows, columns;
    int stride = 1;

    bool pads() const { return rows.before || rows.after || columns.before || columns.after; }
};
