// What torch's generator of a CPU draws where a dropout decides what it keeps, in the same order: the
// Mersenne Twister (Matsumoto and Nishimura 1998), two numbers of 32 bits for a value.
#include "random.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace {

constexpr int SIZE = 624, SHIFT = 397;

std::uint32_t twisted(std::uint32_t upper, std::uint32_t lower) {
    const std::uint32_t mixed = (upper & 0x80000000u) | (lower & 0x7fffffffu);
    return (mixed >> 1) ^ (lower & 1 ? 0x9908b0dfu : 0u);
}

std::uint32_t tempered(std::uint32_t y) {
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

/// The numbers of one state after the other.
class Twister {
public:
    explicit Twister(const GeneratorState& from) : next_(from.left > 1 ? int(from.next) : SIZE) {
        std::copy_n(from.words, SIZE, words_);
        temper();
    }

    void keep(GeneratorState& to) const {
        std::copy_n(words_, SIZE, to.words);
        to.next = next_;
        to.left = SIZE + 1 - next_;
    }

    /// 1 where the next 53 bits are below `bound`, else 0.
    void draw(std::uint64_t bound, std::int64_t count, float* to) {
        while (count > 0) {
            const int pairs = int(std::min<std::int64_t>(count, (SIZE - next_) / 2));
            if (pairs == 0) {
                const std::uint64_t high = one();
                *to++ = below(high, one(), bound);
                --count;
                continue;
            }
            const std::uint32_t* const from = tempered_ + next_;
            for (int k = 0; k < pairs; ++k) to[k] = below(from[2 * k], from[2 * k + 1], bound);
            next_ += 2 * pairs;
            to += pairs;
            count -= pairs;
        }
    }

private:
    static float below(std::uint64_t high, std::uint64_t low, std::uint64_t bound) {
        return ((high & 0x1fffff) << 32 | low) < bound ? 1.0f : 0.0f;
    }

    std::uint32_t one() {
        if (next_ == SIZE) twist();
        return tempered_[next_++];
    }

    void twist() {
        for (int k = 0; k < SIZE - SHIFT; ++k)
            words_[k] = words_[k + SHIFT] ^ twisted(words_[k], words_[k + 1]);
        for (int k = SIZE - SHIFT; k < SIZE - 1; ++k)
            words_[k] = words_[k + SHIFT - SIZE] ^ twisted(words_[k], words_[k + 1]);
        words_[SIZE - 1] = words_[SHIFT - 1] ^ twisted(words_[SIZE - 1], words_[0]);
        next_ = 0;
        temper();
    }

    void temper() { std::transform(words_, words_ + SIZE, tempered_, tempered); }

    std::uint32_t words_[SIZE], tempered_[SIZE];
    int next_;
};

}  // namespace

void draw_kept(GeneratorState& state, double share, std::int64_t count, float* to) {
    if (state.left < 1 || state.left > SIZE || state.next > SIZE || count < 0)
        throw std::invalid_argument("state of a generator");
    Twister twister(state);
    twister.draw(std::uint64_t(std::ceil(std::ldexp(share, 53))), count, to);
    twister.keep(state);
}
