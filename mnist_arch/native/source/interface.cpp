// What Python calls: plain C. A function that fails returns 0 or null and leaves a message.
#include <cstdio>
#include <exception>
#include <new>
#include <stdexcept>

#include "network.h"
#include "random.h"

namespace {

constexpr int MESSAGE_SIZE = 256, MOST_IMAGES = 1 << 20, MOST_THREADS = 1024;

/// Does `work`. Where that fails the message says why, and starts with its kind.
template <typename Work>
bool tried(char* message, Work work) {
    const char *kind = "value: ", *text = nullptr;
    try {
        work();
        return true;
    } catch (const std::bad_alloc&) {
        kind = "memory: ";
        text = "not enough memory for the maps of a batch";
    } catch (const std::exception& error) {
        std::snprintf(message, MESSAGE_SIZE, "%s%s", kind, error.what());
        return false;
    }
    std::snprintf(message, MESSAGE_SIZE, "%s%s", kind, text);
    return false;
}

}  // namespace

extern "C" {

int native_lanes() { return LANES; }

Network* native_open(const NativeProgram* program, const NativeRecipe* recipe, int images,
                     int threads, char* message) {
    Network* network = nullptr;
    tried(message, [&] {
        if (images < 1 || images > MOST_IMAGES) throw std::invalid_argument("count of images");
        if (threads < 1 || threads > MOST_THREADS) throw std::invalid_argument("count of threads");
        network = new Network(*program, *recipe, images, threads);
    });
    return network;
}

void native_close(Network* network) { delete network; }

int native_bind(Network* network, const NativeTensors* tensors, char* message) {
    return tried(message, [&] { network->bind(*tensors); });
}

int native_learn(Network* network, const NativeStep* step, float* loss, char* message) {
    return tried(message, [&] { *loss = network->learn(*step); });
}

int native_predict(Network* network, const NativeImages* images, int by_average, float* logits,
                   char* message) {
    return tried(message, [&] { network->predict(*images, by_average != 0, logits); });
}

int native_draw(GeneratorState* state, double share, std::int64_t count, float* to, char* message) {
    return tried(message, [&] { draw_kept(*state, share, count, to); });
}

void native_gradients(const Network* network, float* to) { network->copy_gradients(to); }

}  // extern "C"
