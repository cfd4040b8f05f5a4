// y = m·x      m = keep/(1-rate)
//
// Reads x, writes y: 2·N numbers. The bits of m are drawn on the way, those that the CPU would draw for the same key.

extern "C" __global__ void dropout(const real* x, real* y, i64 size, u64 seed, u64 step, u64 micro_batch, u64 site, int dropped,
                                   float scale) {
    const i64 first = (blockIdx.x * i64(blockDim.x / 32) + threadIdx.x / 32) * 1024;  // numbers of a warp: one drawing of flags
    Flags flags(seed, step, micro_batch, site, dropped);
    for (i64 start = first; start < first + 1024 && start < size; start += 32 * WIDTH) {
        i64 n = start + threadIdx.x % 32 * WIDTH;
        u32 keep = flags.of<WIDTH>(n);
        if (n < size) {
            float v[WIDTH];
            load<WIDTH>(v, x + n);
#pragma unroll
            for (int i = 0; i < WIDTH; ++i) v[i] = keep >> i & 1 ? v[i] * scale : 0.0f;
            store<WIDTH>(y + n, v);
        }
    }
}
