#include "map.h"

#include <algorithm>

namespace {

int nearest(int place, int size) { return std::clamp(place, 0, size - 1); }

/// Calls visit(pixel of the border, nearest pixel of the map) for all of a group.
template <typename Visit>
void around(const Map& map, int group, Visit visit) {
    for (int channel = 0; channel < map.channels; ++channel) {
        float* const first = map.at(group, channel);
        for (int y = -map.border.rows; y < map.height + map.border.rows; ++y) {
            const bool inside = 0 <= y && y < map.height;
            float* const row = first + y * map.row();
            float* const from = first + nearest(y, map.height) * map.row();
            for (int x = -map.border.columns; x < map.width + map.border.columns; ++x) {
                if (inside && x == 0) x = map.width;
                if (x == map.width + map.border.columns) break;
                visit(row + x * LANES, from + nearest(x, map.width) * LANES);
            }
        }
    }
}

}  // namespace

void Map::clear_border(int group_index) const {
    around(*this, group_index, [](float* outer, float*) { store(outer, Vector{}); });
}

void Map::replicate_border(int group_index) const {
    around(*this, group_index, [](float* outer, float* inner) { store(outer, load(inner)); });
}

void Map::fold_border(int group_index) const {
    around(*this, group_index, [](float* outer, float* inner) {
        store(inner, load(inner) + load(outer));
        store(outer, Vector{});
    });
}
