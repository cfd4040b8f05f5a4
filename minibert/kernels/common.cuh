// What all kernels share. A source is compiled once for each REAL: float, __half or __nv_bfloat16. Arrays hold REAL, arithmetic is
// float32 throughout: only loads and stores know the difference.

#include <cuda_bf16.h>
#include <cuda_fp16.h>

typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;
typedef REAL real;

#define ALL 0xffffffffu  // lanes of a warp
#define LOWEST -3.402823466e38f  // a maximum of nothing: finite, so that LOWEST - LOWEST is a number

__device__ inline float wide(float x) { return x; }
__device__ inline float wide(__half x) { return __half2float(x); }
__device__ inline float wide(__nv_bfloat16 x) { return __bfloat162float(x); }
__device__ inline void narrow(float& y, float x) { y = x; }
__device__ inline void narrow(__half& y, float x) { y = __float2half(x); }
__device__ inline void narrow(__nv_bfloat16& y, float x) { y = __float2bfloat16(x); }

// N numbers in one access of memory; their address must be a multiple of their size.
template <typename T, int N>
struct alignas(N * sizeof(T)) Pack {
    T at[N];
};

template <int N, typename T>
__device__ inline void load(float* v, const T* p) {
    Pack<T, N> pack = *reinterpret_cast<const Pack<T, N>*>(p);
#pragma unroll
    for (int i = 0; i < N; ++i) v[i] = wide(pack.at[i]);
}

template <int N, typename T>
__device__ inline void store(T* p, const float* v) {
    Pack<T, N> pack;
#pragma unroll
    for (int i = 0; i < N; ++i) narrow(pack.at[i], v[i]);
    if constexpr (sizeof(pack) % 16 == 0) {  // said outright: the compiler sometimes takes a plain assignment apart
#pragma unroll
        for (int i = 0; i < sizeof(pack) / 16; ++i) __stcg(reinterpret_cast<uint4*>(p) + i, reinterpret_cast<const uint4*>(&pack)[i]);
    } else {
        *reinterpret_cast<Pack<T, N>*>(p) = pack;
    }
}

// Every lane gets the sum, or the maximum, of all 32. The order is fixed.
__device__ inline float warp_sum(float x) {
#pragma unroll
    for (int step = 16; step; step /= 2) x += __shfl_xor_sync(ALL, x, step);
    return x;
}

__device__ inline float warp_max(float x) {
#pragma unroll
    for (int step = 16; step; step /= 2) x = fmaxf(x, __shfl_xor_sync(ALL, x, step));
    return x;
}

// --- dropout: the bits that the CPU draws -------------------------------------------------------------------------------------

struct Key {
    u64 seed, step, micro_batch, site;
};

// Philox4x64-10: four random words from a counter of four and a key of two.
// Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.3.
__device__ inline void philox(u64 c[4], u64 k0, u64 k1) {
#pragma unroll
    for (int round = 0; round < 10; ++round) {
        u64 high0 = __umul64hi(0xD2E7470EE14C6C93ull, c[0]), low0 = 0xD2E7470EE14C6C93ull * c[0];
        u64 high1 = __umul64hi(0xCA5A826395121157ull, c[2]), low1 = 0xCA5A826395121157ull * c[2];
        c[0] = high1 ^ c[1] ^ k0;
        c[1] = low1;
        c[2] = high0 ^ c[3] ^ k1;
        c[3] = low0;
        k0 += 0x9E3779B97F4A7C15ull;
        k1 += 0xBB67AE8584CAA73Bull;
    }
}

// Number n of an array is kept if byte n % 32 of Philox block n / 32 is at least `dropped`. Bit j of the result: number j of a block.
__device__ __noinline__ u32 keep_flags(Key key, u64 block, int dropped) {
    u64 word[4] = {block + 1, 0, key.micro_batch, key.site};
    philox(word, key.seed, key.step);
    u32 flags = 0;
#pragma unroll
    for (int j = 0; j < 32; ++j) flags |= u32(int(word[j / 8] >> (8 * (j % 8)) & 255) >= dropped) << j;
    return flags;
}

// The flags that a warp needs as it walks through an array. A block of Philox is too much work for four numbers, so the 32 lanes
// draw 32 blocks at a time, one each, and ask one another.
struct Flags {
    Key key;
    int dropped;
    u64 first;  // lane j holds the flags of block first + j
    u32 held;

    __device__ Flags(u64 seed, u64 step, u64 micro_batch, u64 site, int dropped)
        : key{seed, step, micro_batch, site}, dropped(dropped), first(~0ull), held(~0u) {}

    // In the lowest bits, the flags of numbers i to i + N - 1. All lanes ask together, each N numbers further than the one before.
    template <int N>
    __device__ u32 of(u64 i) {
        if (!dropped) return ~0u;
        u64 low = __shfl_sync(ALL, i, 0) / 32, high = (__shfl_sync(ALL, i, 31) + N - 1) / 32;
        if (first == ~0ull || low < first || high >= first + 32) {
            first = low;
            held = keep_flags(key, first + threadIdx.x % 32, dropped);
        }
        return __shfl_sync(ALL, held, int(i / 32 - first)) >> (i % 32);
    }
};
