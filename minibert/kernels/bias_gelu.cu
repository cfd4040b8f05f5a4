// y = u·Φ(u)      u = x + b           a thread keeps its columns' biases in registers and walks down the rows
//
// Forward reads x and writes y: 2·N·I numbers is the least that memory has to carry. Backward reads dy and x and writes du: 3·N·I.
// Nothing but x is kept: Φ and φ are cheaper to compute again than to read.
//
//     du = dy·(Φ(u) + u·Φ'(u))      db = Σ du
//
// exact: Φ(u) = ½·(1 + erf(u/√2)), Φ'(u) = exp(-u²/2)/√(2π)          tanh: Φ(u) ≈ ½·(1 + tanh(√(2/π)·(u + 0.044715·u³)))

__device__ inline float cdf(float u, i64 exact) {
    if (exact) return 0.5f * (1 + erff(u * 0.70710678118654752f));
    return 0.5f * (1 + tanhf(0.79788456080286536f * (u + 0.044715f * u * u * u)));
}

__device__ inline float cdf_slope(float u, float phi, i64 exact) {
    if (exact) return 0.39894228040143268f * expf(-0.5f * u * u);
    return 2 * phi * (1 - phi) * 0.79788456080286536f * (1 + 3 * 0.044715f * u * u);
}

extern "C" __global__ void bias_gelu_forward(const real* x, const real* bias, real* y, i64 rows, i64 columns, i64 exact) {
    i64 c = (blockIdx.x * i64(blockDim.x) + threadIdx.x) * WIDTH;
    if (c >= columns) return;
    float b[WIDTH];
#pragma unroll
    for (int i = 0; i < WIDTH; ++i) b[i] = wide(bias[c + i]);
#pragma unroll 4
    for (i64 n = blockIdx.y; n < rows; n += gridDim.y) {
        float u[WIDTH];
        load<WIDTH>(u, x + n * columns + c);
#pragma unroll
        for (int i = 0; i < WIDTH; ++i) {
            u[i] += b[i];
            u[i] *= cdf(u[i], exact);
        }
        store<WIDTH>(y + n * columns + c, u);
    }
}

// part: (gridDim.y, columns) sums of du, or null where nobody wants db.
extern "C" __global__ void bias_gelu_backward(const real* dy, const real* x, const real* bias, real* du, float* part, i64 rows,
                                              i64 columns, i64 exact) {
    i64 c = (blockIdx.x * i64(blockDim.x) + threadIdx.x) * WIDTH;
    if (c >= columns) return;
    float b[WIDTH], sum[WIDTH] = {};
#pragma unroll
    for (int i = 0; i < WIDTH; ++i) b[i] = wide(bias[c + i]);
#pragma unroll 2
    for (i64 n = blockIdx.y; n < rows; n += gridDim.y) {
        float u[WIDTH], d[WIDTH];
        load<WIDTH>(u, x + n * columns + c);
        load<WIDTH>(d, dy + n * columns + c);
#pragma unroll
        for (int i = 0; i < WIDTH; ++i) {
            u[i] += b[i];
            float phi = cdf(u[i], exact);
            d[i] *= phi + u[i] * cdf_slope(u[i], phi, exact);
            sum[i] += d[i];
        }
        store<WIDTH>(du + n * columns + c, d);
    }
    if (part) store<WIDTH>(part + blockIdx.y * columns + c, sum);
}
