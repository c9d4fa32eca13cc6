#include <sys/mman.h>

#include <cstdint>
#include <new>

#include "network.h"

namespace {

constexpr std::size_t PAGE = std::size_t(2) << 20;  // bytes of a large one
constexpr std::size_t LINE = 16;                     // floats of a cache line

}  // namespace

Memory::~Memory() {
    if (bytes_ > 0) munmap(mapped_, bytes_);
}

void Memory::want(float** pointer, std::size_t floats) {
    wishes_.push_back({pointer, floats_});
    floats_ += (floats + LINE - 1) / LINE * LINE;
}

void Memory::allocate() {
    const std::size_t bytes = floats_ * sizeof(float) + PAGE;
    void* const mapped =
        mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) throw std::bad_alloc();
    mapped_ = mapped;
    bytes_ = bytes;
    const std::uintptr_t first = reinterpret_cast<std::uintptr_t>(mapped);
    const std::uintptr_t aligned = (first + PAGE - 1) / PAGE * PAGE;
    float* const data = reinterpret_cast<float*>(aligned);
#if defined(MADV_HUGEPAGE)
    madvise(data, bytes - (aligned - first), MADV_HUGEPAGE);  // a wish: it is as right without
#endif
    for (const Wish& wish : wishes_) *wish.pointer = data + wish.offset;
    wishes_.clear();
}
