#include "images.h"

#include <stdexcept>

namespace {

void read_pixels(const float* pixels, const Map& map, int group, int lanes) {
    const std::ptrdiff_t size = std::ptrdiff_t(map.channels) * map.pixels();
    const float* from = pixels + std::ptrdiff_t(group) * LANES * size;
    for (int channel = 0; channel < map.channels; ++channel)
        for (int y = 0; y < map.height; ++y) {
            float* const to = map.at(group, channel, y);
            for (int x = 0; x < map.width; ++x, ++from) {
                Vector pixel{};
                for (int lane = 0; lane < lanes; ++lane) pixel[lane] = from[lane * size];
                store(to + x * LANES, pixel);
            }
        }
}

/// A group of stored images, resampled at places of their own by bilinear interpolation. Outside they
/// are 0; of that a copy of them has a border, so that no place has to be asked whether it is inside.
class Resampling {
public:
    Resampling(const NativeImages& images, const Map& map, int group, int lanes, float* scratch)
        : images_(images), map_(map), group_(group), lanes_(lanes),
          first_(std::ptrdiff_t(group) * LANES), side_(map.width), row_(side_ + 3),
          size_((side_ + 3) * row_), right_(scratch), down_(right_ + side_ * LANES),
          places_(reinterpret_cast<std::int32_t*>(down_ + side_ * LANES)),
          upper_(places_ + side_ * LANES), lower_(upper_ + side_ * LANES),
          bytes_(reinterpret_cast<std::uint8_t*>(lower_ + side_ * LANES)) {}

    static std::size_t scratch(int side) {
        const std::size_t padded = std::size_t(side + 3) * (side + 3);
        return std::size_t(5) * side * LANES + (padded * LANES + 3) / 4;
    }

    void read() {
        for (int k = 0; k < 6; ++k) affine_[k] = all(k == 0 || k == 4);
        for (int lane = 0; lane < lanes_ && images_.affine; ++lane)
            for (int k = 0; k < 6; ++k) affine_[k][lane] = images_.affine[(first_ + lane) * 6 + k];
        for (int channel = 0; channel < map_.channels; ++channel) {
            copy(channel);
            for (int y = 0; y < side_; ++y) {
                place_row(y);
                read_row();
                write_row(map_.at(group_, channel, y));
            }
        }
    }

private:
    /// Images with 1 pixel of 0 before their rows and columns, and 2 after them.
    void copy(int channel) const {
        std::fill_n(bytes_, size_ * LANES, std::uint8_t(0));
        const std::ptrdiff_t pixels = map_.pixels();
        for (int lane = 0; lane < lanes_; ++lane) {
            const std::int64_t place = images_.places[first_ + lane];
            const std::uint8_t* const from =
                images_.bytes + (place * map_.channels + channel) * pixels;
            std::uint8_t* const to = bytes_ + lane * size_ + row_ + 1;
            for (int y = 0; y < side_; ++y) std::copy_n(from + y * side_, side_, to + y * row_);
        }
    }

    /// Where the pixels of a row come from: the pixel above and to the left, and how far from it.
    /// Coordinates are torch's: -1 and 1 are the outer edges of the first and the last pixel.
    void place_row(int y) const {
        const Vector down = all(float(2 * y + 1) / float(side_) - 1);
        const Vector at_left = affine_[1] * down + affine_[2], at_top = affine_[4] * down + affine_[5];
        Mask lane_first{};
        for (int lane = 0; lane < LANES; ++lane) lane_first[lane] = lane * size_;
        for (int x = 0; x < side_; ++x) {
            const Vector right = all(float(2 * x + 1) / float(side_) - 1);
            Vector from_x = fma(affine_[0], right, at_left), from_y = fma(affine_[3], right, at_top);
            if (images_.displacement) displace(y, x, from_x, from_y);
            const Vector pixel_x = in_pixels(from_x), pixel_y = in_pixels(from_y);
            const Mask left = __builtin_convertvector(pixel_x, Mask);
            const Mask top = __builtin_convertvector(pixel_y, Mask);
            store(right_ + x * LANES, pixel_x - __builtin_convertvector(left, Vector));
            store(down_ + x * LANES, pixel_y - __builtin_convertvector(top, Vector));
            *reinterpret_cast<Mask*>(places_ + x * LANES) = lane_first + top * row_ + left;
        }
    }

    void displace(int y, int x, Vector& from_x, Vector& from_y) const {
        Vector more_x{}, more_y{};
        for (int lane = 0; lane < lanes_; ++lane) {
            const std::ptrdiff_t pixel = ((first_ + lane) * side_ + y) * side_ + x;
            more_x[lane] = images_.displacement[2 * pixel];
            more_y[lane] = images_.displacement[2 * pixel + 1];
        }
        from_x = from_x + more_x;
        from_y = from_y + more_y;
    }

    /// In pixels of the copy, and not further out than its border.
    Vector in_pixels(Vector coordinate) const {
        const Vector pixel = fma(coordinate + 1.0f, all(0.5f * float(side_)), all(0.5f));
        const Vector bounded = larger(pixel, Vector{});  // 0 where it is not a number
        return bounded < float(side_ + 1) ? bounded : all(float(side_ + 1));
    }

    /// The four pixels of each place: two of a row in one number.
    void read_row() const {
        for (int index = 0; index < side_ * LANES; ++index) {
            const std::uint8_t* const from = bytes_ + places_[index];
            upper_[index] = from[0] | from[1] << 8;
            lower_[index] = from[row_] | from[row_ + 1] << 8;
        }
    }

    void write_row(float* to) const {
        const Mask images = first_lanes(lanes_);
        for (int x = 0; x < side_; ++x) {
            const Vector right = load(right_ + x * LANES), down = load(down_ + x * LANES);
            const Vector above = between(upper_ + x * LANES, right);
            const Vector below = between(lower_ + x * LANES, right);
            const Vector value = fma(down, below - above, above) / 255.0f;
            const Vector normed = (value - images_.mean) / images_.deviation;
            store(to + x * LANES, images ? normed : Vector{});
        }
    }

    static Vector between(const std::int32_t* pairs, Vector share) {
        const Mask pair = *reinterpret_cast<const Mask*>(pairs);
        const Vector one = __builtin_convertvector(pair & 255, Vector);
        const Vector two = __builtin_convertvector(pair >> 8, Vector);
        return fma(share, two - one, one);
    }

    const NativeImages& images_;
    const Map& map_;
    const int group_, lanes_;
    const std::ptrdiff_t first_;
    const int side_, row_, size_;  // of the copy: floats of a row and of a lane
    float *const right_, *const down_;
    std::int32_t *const places_, *const upper_, *const lower_;
    std::uint8_t* const bytes_;
    Vector affine_[6];
};

/// Bytes as they are, by a table of what each is to the network.
void read_bytes(const NativeImages& images, const Map& map, int group, int lanes) {
    float table[256];
    for (int byte = 0; byte < 256; ++byte)
        table[byte] = (float(byte) / 255 - images.mean) / images.deviation;
    const std::ptrdiff_t size = std::ptrdiff_t(map.channels) * map.pixels();
    std::ptrdiff_t pixel = 0;
    const std::int64_t* const places = images.places + std::ptrdiff_t(group) * LANES;
    for (int channel = 0; channel < map.channels; ++channel)
        for (int y = 0; y < map.height; ++y) {
            float* const to = map.at(group, channel, y);
            for (int x = 0; x < map.width; ++x, ++pixel) {
                Vector found{};
                for (int lane = 0; lane < lanes; ++lane)
                    found[lane] = table[images.bytes[places[lane] * size + pixel]];
                store(to + x * LANES, found);
            }
        }
}

/// Sets a square of each image to what 0 is to the network; its corner may lie outside.
void erase(const NativeImages& images, const Map& map, int group, int lanes) {
    const float background = (0 - images.mean) / images.deviation;
    const std::int32_t* corner = images.erased + std::ptrdiff_t(group) * LANES * 2;
    const std::int64_t side = images.erased_side;
    const auto inside = [&](std::int64_t place) {
        return int(std::clamp<std::int64_t>(place, 0, map.width));
    };
    for (int lane = 0; lane < lanes; ++lane, corner += 2) {
        const int top = inside(corner[0]), bottom = inside(corner[0] + side);
        const int left = inside(corner[1]), right = inside(corner[1] + side);
        for (int channel = 0; channel < map.channels; ++channel)
            for (int y = top; y < bottom; ++y)
                for (int x = left; x < right; ++x)
                    map.at(group, channel, y)[x * LANES + lane] = background;
    }
}

}  // namespace

void check(const NativeImages& images) {
    if (images.pixels) return;
    for (int image = 0; image < images.count; ++image)
        if (images.places[image] < 0 || images.places[image] >= images.stored)
            throw std::invalid_argument("place of an image");
}

std::size_t scratch_of_images(const Map& map) { return Resampling::scratch(map.width); }

void read_images(const NativeImages& images, const Map& map, int group, int lanes, float* scratch) {
    if (images.pixels) return read_pixels(images.pixels, map, group, lanes);
    if (images.affine || images.displacement)
        Resampling(images, map, group, lanes, scratch).read();
    else
        read_bytes(images, map, group, lanes);
    if (images.erased) erase(images, map, group, lanes);
}
