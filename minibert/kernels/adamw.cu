// m ← β₁·m + (1-β₁)·g      v ← β₂·v + (1-β₂)·g²      p ← p·(1 - lr·λ) - lr·m̂/(√v̂ + ε)            over the whole slab in one launch
//
// Reads g, p, m and v, writes p, m, v and a g of zeros: 8·N floats is the least that memory has to carry.
// The norm of the gradient reads N floats.
//
// Blocks work on pieces of the slab: (start, stop) and (decay, lr_scale) of each are in two tables. A piece may begin anywhere: up to
// three numbers are treated one by one before the wide loads, and after them.

__device__ inline i64 aligned(i64 start, i64 stop) {  // the first multiple of four
    i64 n = (start + 3) / 4 * 4;
    return n < stop ? n : stop;
}

// *norm = √Σ g² over all pieces. Each block sums one; the last to finish adds up the sums, in their order. *finished is zero before
// and after.
extern "C" __global__ void gradient_norm(const float* g, const i64* spans, double* sums, u32* finished, float* norm) {
    extern __shared__ float shared[];
    const i64 start = spans[2 * blockIdx.x], stop = spans[2 * blockIdx.x + 1], begin = aligned(start, stop);
    const i64 packs = (stop - begin) / 4;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    float sum = 0;
    for (i64 n = start + threadIdx.x; n < begin; n += blockDim.x) sum += g[n] * g[n];
#pragma unroll 4
    for (i64 k = threadIdx.x; k < packs; k += blockDim.x) {
        float v[4];
        load<4>(v, g + begin + 4 * k);
        sum += v[0] * v[0] + v[1] * v[1] + v[2] * v[2] + v[3] * v[3];
    }
    for (i64 n = begin + 4 * packs + threadIdx.x; n < stop; n += blockDim.x) sum += g[n] * g[n];
    sum = warp_sum(sum);
    if (lane == 0) shared[warp] = sum;
    __syncthreads();
    if (warp > 0) return;
    sum = warp_sum(lane < blockDim.x / 32 ? shared[lane] : 0.0f);
    u32 before = 0;
    if (lane == 0) {
        sums[blockIdx.x] = sum;
        __threadfence();
        before = atomicAdd(finished, 1u);
    }
    if (__shfl_sync(ALL, before, 0) + 1 < gridDim.x) return;
    __threadfence();
    double total = 0;
    for (i64 k = lane; k < gridDim.x; k += 32) total += reinterpret_cast<volatile double*>(sums)[k];
#pragma unroll
    for (int step = 16; step; step /= 2) total += __shfl_xor_sync(ALL, total, step);
    if (lane == 0) {
        *norm = float(sqrt(total));
        *finished = 0;
    }
}

// scale: what gradients are multiplied by, or null. skip: true where the step must not happen, or null. taken: the number of this step
// where only the device knows it, or null; the corrections 1 - βᵗ are then computed here.
extern "C" __global__ void adamw_step(float* p, float* g, float* m, float* v, const i64* spans, const float* factors,
                                      const float* scale, const bool* skip, const float* taken, float lr, float one_minus_beta1,
                                      float one_minus_beta2, float log_beta1, float log_beta2, float epsilon, float weight_decay,
                                      float correction1, float correction2) {
    const i64 start = spans[2 * blockIdx.x], stop = spans[2 * blockIdx.x + 1], begin = aligned(start, stop);
    const i64 packs = (stop - begin) / 4;
    const float zero[4] = {};
    if (skip && *skip) {
        for (i64 n = start + threadIdx.x; n < stop; n += blockDim.x) g[n] = 0;
        return;
    }
    if (taken) {
        correction1 = -expm1f(*taken * log_beta1);
        correction2 = -expm1f(*taken * log_beta2);
    }
    const float factor = scale ? *scale : 1.0f, root = 1 / sqrtf(correction2);
    const float rate = lr * factors[2 * blockIdx.x + 1], shrink = rate * weight_decay * factors[2 * blockIdx.x];

    auto step = [&](float& p, float g, float& m, float& v) {
        g *= factor;
        m += one_minus_beta1 * (g - m);
        v += one_minus_beta2 * (g * g - v);
        p -= p * shrink;
        p -= rate / correction1 * (m / (sqrtf(v) * root + epsilon));
    };
    auto one = [&](i64 n) {
        step(p[n], g[n], m[n], v[n]);
        g[n] = 0;
    };
    for (i64 n = start + threadIdx.x; n < begin; n += blockDim.x) one(n);
#pragma unroll 2
    for (i64 k = threadIdx.x; k < packs; k += blockDim.x) {
        const i64 n = begin + 4 * k;
        float p4[4], g4[4], m4[4], v4[4];
        load<4>(p4, p + n);
        load<4>(g4, g + n);
        load<4>(m4, m + n);
        load<4>(v4, v + n);
#pragma unroll
        for (int i = 0; i < 4; ++i) step(p4[i], g4[i], m4[i], v4[i]);
        store<4>(p + n, p4);
        store<4>(g + n, zero);
        store<4>(m + n, m4);
        store<4>(v + n, v4);
    }
    for (i64 n = begin + 4 * packs + threadIdx.x; n < stop; n += blockDim.x) one(n);
}
