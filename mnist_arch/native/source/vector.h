// One vector: the same place of LANES images. All arithmetic of maps is vertical, lane by lane.
//
// The compiler never fuses a product and a sum of its own accord (-ffp-contract=off): where they are
// fused it is written, so that the bits of a result do not depend on what stands beside it.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <utility>

// g++ has these functions without their header, which takes longer to read than most sources.
#if defined(__AVX2__) && defined(__clang__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#if defined(__AVX512F__)
constexpr int LANES = 16, REGISTERS = 32;
#define IN_REGISTER "+v"
#elif defined(__AVX2__)
constexpr int LANES = 8, REGISTERS = 16;
#define IN_REGISTER "+x"
#elif defined(__ARM_NEON)
constexpr int LANES = 4, REGISTERS = 32;
#define IN_REGISTER "+w"
#else
constexpr int LANES = 4, REGISTERS = 16;
#endif

/// Of lambdas.
#define IN_LINE __attribute__((always_inline))

typedef float Vector __attribute__((vector_size(4 * LANES), may_alias));
typedef int32_t Mask __attribute__((vector_size(4 * LANES), may_alias));

inline Vector load(const float* from) { return *reinterpret_cast<const Vector*>(from); }
inline void store(float* to, Vector value) { *reinterpret_cast<Vector*>(to) = value; }

/// The same value in all lanes.
inline Vector all(float value) { return value - Vector{}; }

/// Calls work(0), work(1) … with constants, in line. A loop is as right, but g++ unrolls it too late to
/// see that arrays of vectors fit in registers, and then copies them to the stack and back.
template <int COUNT, typename Work>
IN_LINE inline void each(Work work) {
    [&]<int... INDEX>(std::integer_sequence<int, INDEX...>) IN_LINE {
        (work(std::integral_constant<int, INDEX>{}), ...);
    }(std::make_integer_sequence<int, COUNT>{});
}

/// A value that is kept in its register: g++ would rather load it again for each product. It is handed
/// over as a copy, since g++ writes what an element of an array is changed to back to the stack.
inline Vector pinned(Vector value) {
#ifdef IN_REGISTER
    asm("" : IN_REGISTER(value));
#endif
    return value;
}

/// a · b + c, rounded once where the machine can.
inline Vector fma(Vector a, Vector b, Vector c) {
#if defined(__AVX512F__) && defined(__clang__)
    return _mm512_fmadd_ps(a, b, c);
#elif defined(__AVX512F__)
    return __builtin_ia32_vfmaddps512_mask(a, b, c, -1, 4);  // 4 rounds as the machine is set to
#elif defined(__AVX2__) && defined(__clang__)
    return _mm256_fmadd_ps(a, b, c);
#elif defined(__AVX2__)
    return __builtin_ia32_vfmaddps256(a, b, c);
#elif defined(__ARM_NEON)
    return vfmaq_f32(c, a, b);
#else
    return a * b + c;
#endif
}

/// The larger of each lane; the second where it is not a number.
inline Vector larger(Vector a, Vector b) { return a > b ? a : b; }

inline Vector square_root(Vector x) {
#if defined(__AVX512F__) && defined(__clang__)
    return _mm512_sqrt_ps(x);
#elif defined(__AVX512F__)
    return __builtin_ia32_sqrtps512_mask(x, Vector{}, -1, 4);
#elif defined(__AVX2__) && defined(__clang__)
    return _mm256_sqrt_ps(x);
#elif defined(__AVX2__)
    return __builtin_ia32_sqrtps256(x);
#else
    for (int lane = 0; lane < LANES; ++lane) x[lane] = __builtin_sqrtf(x[lane]);
    return x;
#endif
}

/// Sum of all lanes, in halves: an order that does not depend on the compiler.
inline float sum(Vector x) {
    typedef float Four __attribute__((vector_size(16)));
    Four parts[LANES / 4];
    __builtin_memcpy(parts, &x, sizeof x);
    for (int half = LANES / 8; half > 0; half /= 2)
        for (int part = 0; part < half; ++part) parts[part] += parts[part + half];
    return (parts[0][0] + parts[0][2]) + (parts[0][1] + parts[0][3]);
}

/// All bits set in the first `count` lanes.
inline Mask first_lanes(int count) {
    Mask mask{};
    for (int lane = 0; lane < LANES; ++lane) mask[lane] = lane < count ? -1 : 0;
    return mask;
}

/// e^x to 2 units in the last place: x = n·ln 2 + r, and a polynomial of r (after Cephes).
inline Vector exponential(Vector x) {
    const Vector low = all(-87.0f), high = all(88.0f);
    Vector bounded = x > high ? high : x;
    bounded = bounded < low ? low : bounded;
    const Vector scaled = bounded * 1.44269504088896341f;
    const Vector half = scaled < 0.0f ? all(-0.5f) : all(0.5f);
    const Mask whole = __builtin_convertvector(scaled + half, Mask);  // rounds towards zero
    const Vector n = __builtin_convertvector(whole, Vector);
    Vector r = fma(n, all(-0.693359375f), bounded);
    r = fma(n, all(2.12194440e-4f), r);
    Vector p = all(1.9875691500e-4f);
    p = fma(p, r, all(1.3981999507e-3f));
    p = fma(p, r, all(8.3334519073e-3f));
    p = fma(p, r, all(4.1665795894e-2f));
    p = fma(p, r, all(1.6666665459e-1f));
    p = fma(p, r, all(5.0000001201e-1f));
    p = fma(p, r * r, r + 1.0f);
    const Mask exponent = (whole + 127) << 23;
    const Vector power = reinterpret_cast<const Vector&>(exponent);
    return x == x ? p * power : x;
}

/// The error function to 2 units in the last place: a polynomial near 0, and further out what is left
/// to 1 (after Cephes).
inline Vector error_function(Vector x) {
    const Vector square = x * x, size = x < 0.0f ? -x : x;
    Vector near = all(7.853861353153693e-5f);
    near = fma(near, square, all(-8.010193625184903e-4f));
    near = fma(near, square, all(5.188327685732524e-3f));
    near = fma(near, square, all(-2.685381193529856e-2f));
    near = fma(near, square, all(1.128358514861418e-1f));
    near = fma(near, square, all(-3.761262582423300e-1f));
    near = fma(near, square, all(1.128379165726710f)) * x;
    const Vector q = 1.0f / (size > 1.0f ? size : all(1.0f)), y = q * q;
    Vector middle = all(2.326819970068386e-2f);
    for (const float c : {-1.387039388740657e-1f, 3.687424674597105e-1f, -5.824733027278666e-1f,
                          6.210004621745983e-1f, -4.944515323274145e-1f, 3.404879937665872e-1f,
                          -2.741127028184656e-1f, 5.638259427386472e-1f})
        middle = fma(middle, y, all(c));
    Vector far = all(-1.047766399936249e+1f);
    for (const float c : {1.297719955372516e+1f, -7.495518717768503f, 2.921019019210786f,
                          -1.015265279202700f, 4.218463358204948e-1f, -2.820767439740514e-1f,
                          5.641895067754075e-1f})
        far = fma(far, y, all(c));
    const Vector left = exponential(-square) * q * (size < 2.0f ? middle : far);
    const Vector outer = x < 0.0f ? left - 1.0f : 1.0f - left;
    return size < 1.0f ? near : outer;
}
