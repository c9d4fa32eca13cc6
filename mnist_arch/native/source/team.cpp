#include "team.h"

namespace {

/// Looks at a value before a thread sleeps: some microseconds. Longer ones would take the core away
/// from whom they wait for where there are more threads than cores.
constexpr int LOOKS = 2000;

void rest() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

void wait_while(const std::atomic<int>& value, int old) {
    for (int look = 0; look < LOOKS; ++look) {
        if (value.load(std::memory_order_acquire) != old) return;
        rest();
    }
    value.wait(old, std::memory_order_acquire);
}

}  // namespace

Team::Team(int threads) {
    try {
        for (int thread = 1; thread < threads; ++thread)
            workers_.emplace_back([this, thread] { work(thread); });
    } catch (...) {
        stop();
        throw;
    }
}

Team::~Team() { stop(); }

void Team::stop() {
    ends_ = true;
    starts_.fetch_add(1);
    starts_.notify_all();
    for (std::thread& worker : workers_) worker.join();
}

void Team::run(const std::function<void(int)>& work) {
    if (workers_.empty()) return work(0);
    work_ = &work;
    starts_.fetch_add(1, std::memory_order_release);
    starts_.notify_all();
    work(0);
    meet();
}

void Team::meet() {
    if (workers_.empty()) return;
    const int meeting = meetings_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == size()) {
        arrived_.store(0, std::memory_order_relaxed);
        meetings_.fetch_add(1, std::memory_order_release);
        meetings_.notify_all();
    } else {
        wait_while(meetings_, meeting);
    }
}

void Team::work(int thread) {
    for (int seen = 0;; ++seen) {
        wait_while(starts_, seen);
        if (ends_) return;
        (*work_)(thread);
        meet();
    }
}
