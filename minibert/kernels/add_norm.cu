// y = γ·x̂ + β      x̂ = (z - mean z)·rstd      z = residual + m·x            a row of H numbers for each warp, kept in registers
//
// Forward reads x and residual and writes y: 3·N·H numbers is the least that memory has to carry.
// Backward reads dy, x and residual and writes dresidual and dx: 5·N·H, or 4·N·H where nothing was dropped and the two are one.
// z is not kept but added up again: that costs a read of x, as much as the write it saves, and loses no digits.
// Without residual it is layer norm.

__device__ inline void read_z(float (&z)[PIECES][WIDTH], const real* x, const real* residual, i64 row, i64 columns, Flags& flags,
                              float scale, u32 (&keep)[PIECES]) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int k = 0; k < PIECES; ++k) keep[k] = flags.of<WIDTH>(row * columns + (k * 32 + lane) * WIDTH);
#pragma unroll
    for (int k = 0; k < PIECES; ++k) {
        i64 c = (k * 32 + lane) * WIDTH;
        float r[WIDTH] = {};
#pragma unroll
        for (int i = 0; i < WIDTH; ++i) z[k][i] = 0;
        if (c < columns) {
            load<WIDTH>(z[k], x + row * columns + c);
            if (residual) load<WIDTH>(r, residual + row * columns + c);
        }
#pragma unroll
        for (int i = 0; i < WIDTH; ++i) z[k][i] = r[i] + (keep[k] >> i & 1 ? z[k][i] * scale : 0.0f);
    }
}

extern "C" __global__ void add_norm_forward(const real* x, const real* residual, const real* gamma, const real* beta, real* y,
                                            float* means, float* rstds, i64 rows, i64 columns, float eps, i64 run, u64 seed, u64 step,
                                            u64 micro_batch, u64 site, int dropped, float scale) {
    const int lane = threadIdx.x % 32;
    i64 first = (blockIdx.x * i64(blockDim.x / 32) + threadIdx.x / 32) * run;
    Flags flags(seed, step, micro_batch, site, dropped);
    for (i64 row = first; row < first + run && row < rows; ++row) {
        float z[PIECES][WIDTH];
        u32 keep[PIECES];
        read_z(z, x, residual, row, columns, flags, scale, keep);

        float mean = 0, variance = 0;
#pragma unroll
        for (int k = 0; k < PIECES; ++k)
#pragma unroll
            for (int i = 0; i < WIDTH; ++i) mean += z[k][i];  // zero beyond the row
        mean = warp_sum(mean) / columns;
#pragma unroll
        for (int k = 0; k < PIECES; ++k)
            if ((k * 32 + lane) * WIDTH < columns)
#pragma unroll
                for (int i = 0; i < WIDTH; ++i) variance += (z[k][i] - mean) * (z[k][i] - mean);
        float rstd = 1 / sqrtf(warp_sum(variance) / columns + eps);

#pragma unroll
        for (int k = 0; k < PIECES; ++k) {
            i64 c = (k * 32 + lane) * WIDTH;
            if (c < columns) {
                float g[WIDTH], b[WIDTH];
#pragma unroll
                for (int i = 0; i < WIDTH; i += PARAMETER_WIDTH) {
                    load<PARAMETER_WIDTH>(g + i, gamma + c + i);
                    load<PARAMETER_WIDTH>(b + i, beta + c + i);
                }
#pragma unroll
                for (int i = 0; i < WIDTH; ++i) z[k][i] = (z[k][i] - mean) * rstd * g[i] + b[i];
                store<WIDTH>(y + row * columns + c, z[k]);
            }
        }
        if (lane == 0) means[row] = mean, rstds[row] = rstd;
    }
}

// Each warp walks through `run` rows and sums dy·x̂ and dy over them; the warps of a block add theirs one after the other.
// part: (blocks, 2, columns), or null where nobody wants dγ and dβ. dx: null where it would equal dresidual.
extern "C" __global__ void add_norm_backward(const real* dy, const real* x, const real* residual, const real* gamma,
                                             const float* means, const float* rstds, real* dx, real* dresidual, float* part,
                                             i64 in_shared, i64 rows, i64 columns, i64 run, u64 seed, u64 step, u64 micro_batch,
                                             u64 site, int dropped, float scale) {
    extern __shared__ float shared[];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    i64 first = (blockIdx.x * i64(warps) + warp) * run;
    Flags flags(seed, step, micro_batch, site, dropped);
    float dgamma[PIECES][WIDTH] = {}, dbeta[PIECES][WIDTH] = {};
    for (i64 row = first; row < first + run && row < rows; ++row) {
        float z[PIECES][WIDTH], d[PIECES][WIDTH];
        u32 keep[PIECES];
        read_z(z, x, residual, row, columns, flags, scale, keep);
#pragma unroll
        for (int k = 0; k < PIECES; ++k) {
            i64 c = (k * 32 + lane) * WIDTH;
#pragma unroll
            for (int i = 0; i < WIDTH; ++i) d[k][i] = 0;
            if (c < columns) load<WIDTH>(d[k], dy + row * columns + c);
        }

        float mean = means[row], rstd = rstds[row], sum = 0, along = 0;  // of dx̂, and of dx̂·x̂
#pragma unroll
        for (int k = 0; k < PIECES; ++k) {
            i64 c = (k * 32 + lane) * WIDTH;
            if (c < columns) {
                float g[WIDTH];
#pragma unroll
                for (int i = 0; i < WIDTH; i += PARAMETER_WIDTH) load<PARAMETER_WIDTH>(g + i, gamma + c + i);
#pragma unroll
                for (int i = 0; i < WIDTH; ++i) {
                    z[k][i] = (z[k][i] - mean) * rstd;  // x̂ from here on
                    dgamma[k][i] += d[k][i] * z[k][i];
                    dbeta[k][i] += d[k][i];
                    d[k][i] *= g[i];  // dx̂ from here on
                    sum += d[k][i];
                    along += d[k][i] * z[k][i];
                }
            }
        }
        sum = warp_sum(sum) / columns;
        along = warp_sum(along) / columns;
#pragma unroll
        for (int k = 0; k < PIECES; ++k) {
            i64 c = (k * 32 + lane) * WIDTH;
            if (c < columns) {
#pragma unroll
                for (int i = 0; i < WIDTH; ++i) d[k][i] = rstd * (d[k][i] - sum - z[k][i] * along);
                store<WIDTH>(dresidual + row * columns + c, d[k]);
                if (dx) {
#pragma unroll
                    for (int i = 0; i < WIDTH; ++i) d[k][i] = keep[k] >> i & 1 ? d[k][i] * scale : 0.0f;
                    store<WIDTH>(dx + row * columns + c, d[k]);
                }
            }
        }
    }
    if (!part) return;
    part += blockIdx.x * 2 * columns;
    float* sums = in_shared ? shared : part;  // a row too long for shared memory is summed where it ends up
    for (int turn = 0; turn < warps; ++turn) {
        if (turn == warp)
#pragma unroll
            for (int k = 0; k < PIECES; ++k) {
                i64 c = (k * 32 + lane) * WIDTH;
                if (c < columns)
#pragma unroll
                    for (int i = 0; i < WIDTH; ++i) {
                        sums[c + i] = (turn ? sums[c + i] : 0.0f) + dgamma[k][i];
                        sums[columns + c + i] = (turn ? sums[columns + c + i] : 0.0f) + dbeta[k][i];
                    }
            }
        __syncthreads();
    }
    if (in_shared)
        for (i64 c = threadIdx.x; c < 2 * columns; c += blockDim.x) part[c] = shared[c];
}
