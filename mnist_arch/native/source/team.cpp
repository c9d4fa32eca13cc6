#include "team.h"

#include <chrono>

namespace {

/// How long a thread looks at a value before it sleeps: about as long as waking it takes. Longer would
/// take the core away from whom it waits for where there are more threads than cores.
constexpr std::chrono::microseconds AWAKE(100);
constexpr int LOOKS = 64;  // between two looks at the clock

void rest() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

void wait_while(const std::atomic<int>& value, int old) {
    const auto end = std::chrono::steady_clock::now() + AWAKE;
    do {
        for (int look = 0; look < LOOKS; ++look) {
            if (value.load(std::memory_order_acquire) != old) return;
            rest();
        }
    } while (std::chrono::steady_clock::now() < end);
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

void Team::wait(int meeting) const { wait_while(meetings_, meeting); }

void Team::work(int thread) {
    for (int seen = 0;; ++seen) {
        wait_while(starts_, seen);
        if (ends_) return;
        (*work_)(thread);
        meet();
    }
}
