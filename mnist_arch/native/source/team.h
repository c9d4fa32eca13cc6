// The threads of one network. They sleep between steps, and wait for one another within one.
#pragma once

#include <atomic>
#include <functional>
#include <thread>
#include <vector>

class Team {
public:
    /// Starts all threads but the caller's own. Throws std::system_error where that cannot be.
    explicit Team(int threads);
    ~Team();
    Team(const Team&) = delete;
    Team& operator=(const Team&) = delete;

    int size() const { return int(workers_.size()) + 1; }

    /// Calls `work(thread)` in every thread, and returns when all have done it.
    void run(const std::function<void(int)>& work);

    /// Within `run`: when every thread has come here the last one does `once`, and then all go on.
    template <typename Once>
    void meet(Once once) {
        if (workers_.empty()) return once();
        const int meeting = meetings_.load(std::memory_order_acquire);
        if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 < size()) return wait(meeting);
        once();
        arrived_.store(0, std::memory_order_relaxed);
        meetings_.fetch_add(1, std::memory_order_release);
        meetings_.notify_all();
    }

    /// Within `run`: waits until every thread has come here.
    void meet() {
        meet([] {});
    }

private:
    void work(int thread);
    void wait(int meeting) const;
    void stop();

    const std::function<void(int)>* work_ = nullptr;
    std::atomic<bool> ends_{false};
    std::atomic<int> starts_{0};
    std::atomic<int> arrived_{0};
    std::atomic<int> meetings_{0};
    std::vector<std::thread> workers_;
};
