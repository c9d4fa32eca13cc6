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

    /// Within `run`: waits until every thread has come here.
    void meet();

    /// Within `run`: when every thread has come here, one does `once`, and then all go on.
    template <typename Once>
    void meet(int thread, Once once) {
        meet();
        if (thread == 0) once();
        meet();
    }

private:
    void work(int thread);
    void stop();

    const std::function<void(int)>* work_ = nullptr;
    std::atomic<bool> ends_{false};
    std::atomic<int> starts_{0};
    std::atomic<int> arrived_{0};
    std::atomic<int> meetings_{0};
    std::vector<std::thread> workers_;
};
