#include "network.h"

#include <stdexcept>

#include "assembly.h"
#include "check.h"
#include "images.h"

Network::Network(const NativeProgram& program, const NativeRecipe& recipe, int images, int threads)
    : batch_{images, false}, most_images_(images), slots_(batch_.groups()), recipe_(recipe),
      optimizer_(recipe, program, parameters_), running_(program.running_count),
      team_(std::min(threads, batch_.groups())) {
    check(program);
    Assembly(*this, program).build(team_.size());
    loss_ = std::make_unique<CrossEntropy>(batch_, ports_[logits_]);
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

void Network::start(const NativeImages& images, bool trains) {
    if (images.count < 1 || images.count > most_images_)
        throw std::invalid_argument("count of images");
    check(images);
    batch_.images = images.count;
    batch_.trains = trains;
    for (int thread = 0; thread < team_.size(); ++thread) {
        const Groups own = groups_of(thread);
        std::fill(slots_.begin() + own.first, slots_.begin() + own.last, thread);
    }
}

float Network::learn(const NativeStep& step) {
    start(step.images, true);
    const int classes = ports_[logits_].value.channels;
    for (int image = 0; image < step.images.count; ++image)
        if (step.labels[image] < 0 || step.labels[image] >= classes)
            throw std::invalid_argument("label");
    if ((step.targets != nullptr) != (recipe_.teacher_weight > 0))
        throw std::invalid_argument("targets of a teacher");
    point_at(false);
    std::copy_n(step.masks, masks_.size(), masks_.begin());
    team_.run([&](int thread) {
        prepare(thread);
        forward(thread, step.images);
        backward(thread, step);
        team_.meet();
        optimizer_.sum_gradients(batch_.groups(), thread, team_.size());
        team_.meet([&] { optimizer_.settle(); });
        optimizer_.move(step, thread, team_.size());
        if (thread == 0 && step.average_weight >= 0)
            optimizer_.average_statistics(step.average_weight);
    });
    return loss_->mean() + float(optimizer_.penalty());
}

void Network::predict(const NativeImages& images, bool by_average, float* logits) {
    start(images, false);
    point_at(by_average);
    team_.run([&](int thread) {
        prepare(thread);
        forward(thread, images);
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
void Network::forward(int thread, const NativeImages& images) {
    const int count = int(operations_.size());
    bool backwards = false;
    for (int first = 0, met = -1;;) {
        int next = first;
        while (next < count && (next == met || !operations_[next]->meets())) ++next;
        each_group(thread, backwards, [&](int group) {
            if (first == 0)
                read_images(images, ports_.front().value, group, batch_.lanes(group), scratch_[thread]);
            for (int index = first; index < next; ++index)
                operations_[index]->forward(group, scratch_[thread]);
            if (next < count) operations_[next]->collect(group);
        });
        if (next == count) return;
        team_.meet([&] { operations_[next]->settle(); });
        first = met = next;
    }
}

void Network::backward(int thread, const NativeStep& step) {
    const int count = int(operations_.size());
    const float smoothing = float(recipe_.label_smoothing);
    const float weight = float(recipe_.teacher_weight), temperature = float(recipe_.temperature);
    bool backwards = true;
    for (int left = count, met = count;;) {
        int next = left - 1;
        while (next >= 0 && (next == met || !operations_[next]->meets_backward())) --next;
        each_group(thread, backwards, [&](int group) {
            if (met == count) {
                std::fill_n(parameters_.gradient(group), parameters_.total, 0.0f);
                loss_->learn(group, step.labels, smoothing);
                if (step.targets) loss_->learn_from(group, step.targets, weight, temperature);
            }
            for (int index = left - 1; index > next; --index) {
                for (const int before : again_[index])
                    operations_[before]->forward(group, scratch_[thread]);
                operations_[index]->backward(group, scratch_[thread]);
            }
            if (next >= 0) operations_[next]->collect_backward(group);
        });
        if (next < 0) return;
        team_.meet([&] { operations_[next]->settle_backward(); });
        met = next;
        left = next + 1;
    }
}

void Network::write_logits(int group, float* logits) const {
    const Map& map = ports_[logits_].value;
    for (int lane = 0; lane < batch_.lanes(group); ++lane)
        for (int k = 0; k < map.channels; ++k)
            logits[(group * LANES + lane) * map.channels + k] = map.at(group, k)[lane];
}
