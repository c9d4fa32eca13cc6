#include "network.h"

#include <stdexcept>

#include "assembly.h"
#include "check.h"

Network::Network(const NativeProgram& program, const NativeRecipe& recipe, int images, int threads)
    : batch_{images, false}, most_images_(images), recipe_(recipe),
      optimizer_(recipe, program, parameters_), running_(program.running_count),
      team_(std::min(threads, batch_.groups())) {
    check(program);
    Assembly(*this, program).build(team_.size());
    loss_ = std::make_unique<CrossEntropy>(batch_, ports_.back());
}

void Network::bind(const NativeTensors& it) {
    const std::size_t tensors = parameters_.tensors.size(), norms = running_.size();
    values_.assign(it.values, it.values + tensors);
    averages_.assign(it.averages, it.averages + tensors);
    running_values_.clear();
    running_averages_.clear();
    for (std::size_t i = 0; i < norms; ++i) {
        running_values_.push_back(
            {it.running_means[i], it.running_variances[i], it.running_batches[i]});
        running_averages_.push_back(
            {it.average_means[i], it.average_variances[i], it.average_batches[i]});
    }
    optimizer_.bind(it);
}

void Network::point_at(bool average) {
    const auto& values = average ? averages_ : values_;
    for (std::size_t i = 0; i < values.size(); ++i) parameters_.tensors[i].value = values[i];
    running_ = average ? running_averages_ : running_values_;
}

float Network::learn(const NativeStep& step) {
    if (step.images < 1 || step.images > most_images_)
        throw std::invalid_argument("count of images");
    const int classes = ports_.back().value.channels;
    for (int image = 0; image < step.images; ++image)
        if (step.labels[image] < 0 || step.labels[image] >= classes)
            throw std::invalid_argument("label");
    batch_.images = step.images;
    batch_.trains = true;
    point_at(false);
    std::copy_n(step.masks, masks_.size(), masks_.begin());
    const float smoothing = float(recipe_.label_smoothing);
    team_.run([&](int thread) {
        prepare(thread);
        forward(thread, step.pixels);
        const Groups own = groups_of(thread);
        for (int group = own.first; group < own.last; ++group)
            loss_->learn(group, step.labels, smoothing);
        backward(thread);
        team_.meet();
        optimizer_.sum_gradients(batch_.groups(), thread, team_.size());
        team_.meet(thread, [&] { optimizer_.settle(); });
        optimizer_.move(step.rate, step.average_weight, thread, team_.size());
        if (thread == 0 && step.average_weight >= 0)
            optimizer_.average_statistics(step.average_weight);
    });
    return loss_->mean();
}

void Network::predict(const float* pixels, int images, bool by_average, float* logits) {
    if (images < 1 || images > most_images_) throw std::invalid_argument("count of images");
    batch_.images = images;
    batch_.trains = false;
    point_at(by_average);
    team_.run([&](int thread) {
        prepare(thread);
        forward(thread, pixels);
        const Groups own = groups_of(thread);
        for (int group = own.first; group < own.last; ++group) write_logits(group, logits);
    });
}

void Network::copy_gradients(float* to) const {
    std::copy_n(parameters_.gradients, parameters_.total, to);
}

Network::Groups Network::groups_of(int thread) const {
    const int groups = batch_.groups(), threads = team_.size();
    return {groups * thread / threads, groups * (thread + 1) / threads};
}

/// Does work on each group of a thread, back and forth: the last one is still in the caches.
template <typename Work>
void Network::each_group(int thread, bool& backwards, Work work) const {
    const Groups own = groups_of(thread);
    for (int step = 0; step < own.last - own.first; ++step)
        work(backwards ? own.last - 1 - step : own.first + step);
    backwards = !backwards;
}

void Network::prepare(int thread) {
    for (std::size_t index = thread; index < operations_.size(); index += team_.size())
        operations_[index]->prepare();
    team_.meet();
}

// Each group of images goes through all operations up to the next one that has to see the whole batch
// first; there the threads meet.
void Network::forward(int thread, const float* pixels) {
    const int count = int(operations_.size());
    bool backwards = false;
    for (int first = 0, met = -1;;) {
        int next = first;
        while (next < count && (next == met || !operations_[next]->meets())) ++next;
        each_group(thread, backwards, [&](int group) {
            if (first == 0) read_pixels(group, pixels);
            for (int index = first; index < next; ++index)
                operations_[index]->forward(group, scratch_[thread]);
            if (next < count) operations_[next]->collect(group);
        });
        if (next == count) return;
        team_.meet(thread, [&] { operations_[next]->settle(); });
        first = met = next;
    }
}

void Network::backward(int thread) {
    const int count = int(operations_.size());
    bool backwards = true;
    for (int left = count, met = count;;) {
        int next = left - 1;
        while (next >= 0 && (next == met || !operations_[next]->meets_backward())) --next;
        each_group(thread, backwards, [&](int group) {
            if (met == count) std::fill_n(parameters_.gradient(group), parameters_.total, 0.0f);
            for (int index = left - 1; index > next; --index)
                operations_[index]->backward(group, scratch_[thread]);
            if (next >= 0) operations_[next]->collect_backward(group);
        });
        if (next < 0) return;
        team_.meet(thread, [&] { operations_[next]->settle_backward(); });
        met = next;
        left = next + 1;
    }
}

void Network::read_pixels(int group, const float* pixels) const {
    const Map& map = ports_.front().value;
    const std::ptrdiff_t size = std::ptrdiff_t(map.channels) * map.pixels();
    const int lanes = batch_.lanes(group);
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

void Network::write_logits(int group, float* logits) const {
    const Map& map = ports_.back().value;
    for (int lane = 0; lane < batch_.lanes(group); ++lane)
        for (int k = 0; k < map.channels; ++k)
            logits[(group * LANES + lane) * map.channels + k] = map.at(group, k)[lane];
}
