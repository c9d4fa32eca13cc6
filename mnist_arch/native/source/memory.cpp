#include <sys/mman.h>

#include <cstdint>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

#include "network.h"

namespace {

constexpr std::size_t PAGE = std::size_t(2) << 20;  // bytes of a large one
constexpr std::size_t LINE = 16;                     // floats of a cache line

// For the address sanitizer, to which all of it is one, there is a gap after each part.
#if defined(__SANITIZE_ADDRESS__)
constexpr std::size_t GAP = 4096;  // floats
void forbid(float* from) { __asan_poison_memory_region(from, GAP * sizeof(float)); }
void allow(void* from, std::size_t bytes) { __asan_unpoison_memory_region(from, bytes); }
#else
constexpr std::size_t GAP = 0;
void forbid(float*) {}
void allow(void*, std::size_t) {}
#endif

}  // namespace

Memory::~Memory() {
    if (bytes_ == 0) return;
    allow(mapped_, bytes_);
    munmap(mapped_, bytes_);
}

void Memory::want(float** pointer, std::size_t floats) {
    const std::size_t lines = (floats + LINE - 1) / LINE;
    wishes_.push_back({pointer, floats_, floats_ + lines * LINE});
    floats_ = wishes_.back().end + GAP;
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
    for (const Wish& wish : wishes_) {
        *wish.pointer = data + wish.first;
        forbid(data + wish.end);
    }
    wishes_.clear();
}
