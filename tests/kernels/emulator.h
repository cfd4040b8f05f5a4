// CUDA C++ on a CPU, for tests: enough of it to run minibert's kernels as they are and look at their numbers.
//
// Blocks run one after the other. The threads of a block are fibers on one core: each runs until it waits, at __syncthreads or in a
// shuffle, for the others of its block or warp. So the order is always the same, and a thread that never arrives is an error, not a
// hang. Nothing is said about speed, or about races within a warp that real hardware might lose.

#pragma once
#ifdef __APPLE__
#define _XOPEN_SOURCE 600
#endif
#include <setjmp.h>
#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <type_traits>
#include <utility>

struct Index {
    unsigned x, y, z;
};

static Index threadIdx, blockIdx, blockDim, gridDim;
static float shared[48 * 256];  // 48 KiB, what kernels declare as `extern __shared__ float shared[]`

#define __global__
#define __device__
#define __host__
#define __shared__
#define __launch_bounds__(...)
#define __noinline__ __attribute__((noinline))
#define __forceinline__ inline

namespace emulator {

const int MOST = 1024;
const size_t STACK = 1 << 16;

struct Barrier {
    int expected, arrived, generation;
};

struct Fiber {
    ucontext_t beginning;
    jmp_buf place;  // where it waits: cheaper to go back to than a context, which asks the system about signals
    bool begun, done;
};

static Fiber fibers[MOST];
static char stacks[MOST][STACK];
static jmp_buf scheduler;
static Barrier block_barrier, warp_barriers[MOST / 32];
static unsigned char slots[MOST][16];
static int current, threads;
static void (*body)(void*);
static void* body_arguments;

static void place(int t) {
    current = t;
    threadIdx = {t % blockDim.x, t / blockDim.x % blockDim.y, t / blockDim.x / blockDim.y};
}

static void release(Barrier& barrier) {
    if (barrier.arrived && barrier.arrived == barrier.expected) {
        barrier.arrived = 0;
        ++barrier.generation;
    }
}

static void wait(Barrier& barrier) {
    int generation = barrier.generation, me = current;
    ++barrier.arrived;
    release(barrier);
    while (barrier.generation == generation) {
        if (!_setjmp(fibers[me].place)) _longjmp(scheduler, 1);
        place(me);
    }
}

static void run() {
    int me = current;
    body(body_arguments);
    fibers[me].done = true;
    --block_barrier.expected;  // who has returned is waited for no longer
    --warp_barriers[me / 32].expected;
    release(block_barrier);
    release(warp_barriers[me / 32]);
    _longjmp(scheduler, 1);
}

// 0, or 1 where threads wait for others that never come.
static int run_block() {
    threads = blockDim.x * blockDim.y * blockDim.z;
    block_barrier = {threads, 0, 0};
    for (int w = 0; w * 32 < threads; ++w) warp_barriers[w] = {threads - w * 32 < 32 ? threads - w * 32 : 32, 0, 0};
    for (int t = 0; t < threads; ++t) {
        fibers[t].begun = fibers[t].done = false;
        getcontext(&fibers[t].beginning);
        fibers[t].beginning.uc_stack.ss_sp = stacks[t];
        fibers[t].beginning.uc_stack.ss_size = STACK;
        fibers[t].beginning.uc_link = nullptr;
        makecontext(&fibers[t].beginning, run, 0);
    }
    volatile int left = threads, progress = -1;
    while (left) {
        left = 0;
        for (volatile int t = 0; t < threads; ++t) {
            if (fibers[t].done) continue;
            place(t);
            if (!_setjmp(scheduler)) {
                if (fibers[t].begun) _longjmp(fibers[t].place, 1);
                fibers[t].begun = true;
                setcontext(&fibers[t].beginning);
            }
            left = left + !fibers[t].done;
        }
        int now = block_barrier.generation + threads - left;
        for (int w = 0; w * 32 < threads; ++w) now += warp_barriers[w].generation;
        if (now == progress) return 1;
        progress = now;
    }
    return 0;
}

template <typename T>
T exchange(T value, int source) {
    static_assert(sizeof(T) <= 16, "a shuffle moves at most 16 bytes");
    T result;
    Barrier& barrier = warp_barriers[current / 32];
    std::memcpy(slots[current], &value, sizeof(T));
    wait(barrier);
    std::memcpy(&result, slots[current / 32 * 32 + source], sizeof(T));
    wait(barrier);
    return result;
}

template <typename... A>
struct Call {
    void (*kernel)(A...);
    void** arguments;

    template <size_t... I>
    void spread(std::index_sequence<I...>) {
        kernel(*static_cast<std::remove_reference_t<A>*>(arguments[I])...);
    }

    static void go(void* self) {
        static_cast<Call*>(self)->spread(std::index_sequence_for<A...>());
    }
};

template <typename T>
constexpr char kind() {
    return std::is_pointer<T>::value ? 'P' : std::is_floating_point<T>::value ? 'f' : std::is_signed<T>::value ? 'i' : 'u';
}

// kinds: of each argument, P f i u; sizes: in bytes. 0, or what went wrong: 1 a wait without end, 2 the number of arguments,
// 100 + i: argument i is of another type than the kernel's.
template <typename... A>
int launch(void (*kernel)(A...), const unsigned* grid, const unsigned* block, void** arguments, const char* kinds, const int* sizes,
           int count) {
    if (count != int(sizeof...(A))) return 2;
    const char expected[] = {kind<A>()..., 0};
    const int expected_sizes[] = {int(sizeof(A))..., 0};
    for (int i = 0; i < count; ++i) {
        bool null = expected[i] == 'P' && kinds[i] == 'u' && sizes[i] == 8 && !*static_cast<std::uint64_t*>(arguments[i]);
        if (!null && (kinds[i] != expected[i] || sizes[i] != expected_sizes[i])) return 100 + i;
    }
    Call<A...> call{kernel, arguments};
    body = Call<A...>::go;
    body_arguments = &call;
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block[0], block[1], block[2]};
    for (unsigned z = 0; z < gridDim.z; ++z)
        for (unsigned y = 0; y < gridDim.y; ++y)
            for (unsigned x = 0; x < gridDim.x; ++x) {
                blockIdx = {x, y, z};
                std::memset(shared, 0xff, sizeof shared);  // not a number: nobody may count on zeros
                if (int error = run_block()) return error;
            }
    return 0;
}

}  // namespace emulator

static inline void __syncthreads() { emulator::wait(emulator::block_barrier); }
static inline void __threadfence() {}

template <typename T>
T __shfl_sync(unsigned, T value, int source) {
    return emulator::exchange(value, source & 31);
}

template <typename T>
T __shfl_xor_sync(unsigned, T value, int mask) {
    return emulator::exchange(value, (emulator::current % 32) ^ mask);
}

template <typename T>
T atomicAdd(T* address, T value) {
    T old = *address;
    *address += value;
    return old;
}

struct alignas(16) uint4 {
    unsigned x, y, z, w;
};

template <typename T>
void __stcg(T* address, T value) {
    *address = value;
}

static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return static_cast<unsigned long long>(static_cast<unsigned __int128>(a) * b >> 64);
}
