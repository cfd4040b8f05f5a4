// loss = 1/count · Σ_n (lse_n - x_n,label)      lse_n = log Σ_v exp(x_nv)                   a block for each row of V logits
//
// Forward reads the logits once, with a running maximum: N·V numbers is the least that memory has to carry, and nothing as large as
// the logits is written. Backward reads them again and writes dx: 2·N·V.
//
//     dx_nv = dloss/count · (exp(x_nv - lse_n) - [v = label_n]), zero in ignored rows
//
// A row of 30,522 does not begin at a multiple of 16 bytes: a few numbers are read one by one before the wide loads, and after them.

__device__ inline int head(const real* x, i64 columns) {  // numbers before the first that lies at a multiple of 16 bytes
    i64 n = i64((16 - reinterpret_cast<u64>(x) % 16) % 16 / sizeof(real));
    return int(n < columns ? n : columns);
}

__device__ inline void add_exp(float& top, float& sum, float x) {
    if (x > top) {
        sum *= expf(top - x);
        top = x;
    }
    sum += expf(x - top);
}

__device__ inline void add_pair(float& top, float& sum, float other_top, float other_sum) {
    float higher = fmaxf(top, other_top);
    sum = sum * expf(top - higher) + other_sum * expf(other_top - higher);
    top = higher;
}

extern "C" __global__ void cross_entropy_forward(const real* logits, const i64* labels, float* losses, float* lse, i64 columns,
                                                 i64 ignore) {
    extern __shared__ float shared[];  // two numbers of each warp
    const real* x = logits + blockIdx.x * columns;
    const int before = head(x, columns), lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const i64 packs = (columns - before) / WIDTH;
    float top = LOWEST, sum = 0;
    if (threadIdx.x < before) add_exp(top, sum, wide(x[threadIdx.x]));
#pragma unroll 4
    for (i64 k = threadIdx.x; k < packs; k += blockDim.x) {
        float v[WIDTH], here = LOWEST;
        load<WIDTH>(v, x + before + k * WIDTH);
#pragma unroll
        for (int i = 0; i < WIDTH; ++i) here = fmaxf(here, v[i]);
        if (here > top) {
            sum *= expf(top - here);
            top = here;
        }
#pragma unroll
        for (int i = 0; i < WIDTH; ++i) sum += expf(v[i] - top);
    }
    for (i64 c = before + packs * WIDTH + threadIdx.x; c < columns; c += blockDim.x) add_exp(top, sum, wide(x[c]));

#pragma unroll
    for (int step = 16; step; step /= 2)
        add_pair(top, sum, __shfl_xor_sync(ALL, top, step), __shfl_xor_sync(ALL, sum, step));
    if (lane == 0) shared[2 * warp] = top, shared[2 * warp + 1] = sum;
    __syncthreads();
    if (threadIdx.x == 0) {
        for (int other = 1; other < blockDim.x / 32; ++other) add_pair(top, sum, shared[2 * other], shared[2 * other + 1]);
        i64 label = labels[blockIdx.x];
        lse[blockIdx.x] = top + logf(sum);
        losses[blockIdx.x] = label == ignore ? 0.0f : top - wide(x[label]) + logf(sum);
    }
}

// scale: dloss/count. dx begins at the same place within 16 bytes as the logits.
extern "C" __global__ void cross_entropy_backward(const real* logits, const i64* labels, const float* lse, const float* scale, real* dx,
                                                  i64 columns, i64 ignore) {
    const real* x = logits + blockIdx.x * columns;
    const int before = head(x, columns);
    const i64 packs = (columns - before) / WIDTH, label = labels[blockIdx.x];
    const float log = lse[blockIdx.x], s = label == ignore ? 0.0f : *scale;
    dx += blockIdx.x * columns;
    if (threadIdx.x < before) {
        i64 c = threadIdx.x;
        narrow(dx[c], s * (expf(wide(x[c]) - log) - (c == label)));
    }
#pragma unroll 4
    for (i64 k = threadIdx.x; k < packs; k += blockDim.x) {
        i64 c = before + k * WIDTH;
        float v[WIDTH];
        load<WIDTH>(v, x + c);
#pragma unroll
        for (int i = 0; i < WIDTH; ++i) v[i] = s * (expf(v[i] - log) - (c + i == label));
        store<WIDTH>(dx + c, v);
    }
    for (i64 c = before + packs * WIDTH + threadIdx.x; c < columns; c += blockDim.x)
        narrow(dx[c], s * (expf(wide(x[c]) - log) - (c == label)));
}
