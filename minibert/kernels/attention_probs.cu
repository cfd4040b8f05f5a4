// y = m·P      P = softmax(scores + mask)      a row of T scores for each warp, kept in registers
//
// Forward reads the scores and writes y: 2·B·A·T² numbers is the least that memory has to carry (the mask is small).
// Backward reads dy and what P comes from, and writes dscores: 3·B·A·T². Where nothing was dropped, P is y. Elsewhere P is computed
// again from the scores and `lse`, the log of the row's sum of exponentials: exp(score + mask - lse) costs no memory.
//
//     dP = m·dy      dscores = P·(dP - Σ dP·P)

struct Mask {  // additive; a stride of zero where it is the same for all
    const real* at;
    i64 heads, queries, batch_stride, head_stride, query_stride;

    __device__ const real* of(i64 row) const {
        i64 q = row % queries, a = row / queries % heads, b = row / queries / heads;
        return at + b * batch_stride + a * head_stride + q * query_stride;
    }
};

__device__ inline void read_scores(float (&s)[PIECES][WIDTH], const real* scores, const Mask& mask, i64 row, i64 columns) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int k = 0; k < PIECES; ++k) {
        i64 c = (k * 32 + lane) * WIDTH;
        float m[WIDTH] = {};
#pragma unroll
        for (int i = 0; i < WIDTH; ++i) s[k][i] = LOWEST;
        if (c < columns) {
            load<WIDTH>(s[k], scores + row * columns + c);
            if (mask.at) load<WIDTH>(m, mask.of(row) + c);
#pragma unroll
            for (int i = 0; i < WIDTH; ++i) s[k][i] += m[i];
        }
    }
}

extern "C" __global__ void attention_probs_forward(const real* scores, const real* mask, i64 heads, i64 queries, i64 batch_stride,
                                                   i64 head_stride, i64 query_stride, real* y, float* lse, i64 rows, i64 columns,
                                                   i64 run, u64 seed, u64 step, u64 micro_batch, u64 site, int dropped, float scale) {
    const int lane = threadIdx.x % 32;
    const Mask additive{mask, heads, queries, batch_stride, head_stride, query_stride};
    i64 first = (blockIdx.x * i64(blockDim.x / 32) + threadIdx.x / 32) * run;
    Flags flags(seed, step, micro_batch, site, dropped);
    for (i64 row = first; row < first + run && row < rows; ++row) {
        float s[PIECES][WIDTH];
        read_scores(s, scores, additive, row, columns);
        float top = LOWEST, sum = 0;
#pragma unroll
        for (int k = 0; k < PIECES; ++k)
#pragma unroll
            for (int i = 0; i < WIDTH; ++i) top = fmaxf(top, s[k][i]);
        top = warp_max(top);
#pragma unroll
        for (int k = 0; k < PIECES; ++k)
#pragma unroll
            for (int i = 0; i < WIDTH; ++i) sum += s[k][i] = expf(s[k][i] - top);  // beyond the row it is zero
        sum = warp_sum(sum);
#pragma unroll
        for (int k = 0; k < PIECES; ++k) {
            i64 c = (k * 32 + lane) * WIDTH;
            u32 keep = flags.of<WIDTH>(row * columns + c);
            if (c < columns) {
#pragma unroll
                for (int i = 0; i < WIDTH; ++i) s[k][i] = keep >> i & 1 ? s[k][i] / sum * scale : 0.0f;
                store<WIDTH>(y + row * columns + c, s[k]);
            }
        }
        if (lse && lane == 0) lse[row] = top + logf(sum);
    }
}

// from: the scores, or P itself where lse is null.
extern "C" __global__ void attention_probs_backward(const real* dy, const real* from, const float* lse, const real* mask, i64 heads,
                                                    i64 queries, i64 batch_stride, i64 head_stride, i64 query_stride, real* dscores,
                                                    i64 rows, i64 columns, i64 run, u64 seed, u64 step, u64 micro_batch, u64 site,
                                                    int dropped, float scale) {
    const int lane = threadIdx.x % 32;
    const Mask additive{mask, heads, queries, batch_stride, head_stride, query_stride};
    i64 first = (blockIdx.x * i64(blockDim.x / 32) + threadIdx.x / 32) * run;
    Flags flags(seed, step, micro_batch, site, dropped);
    for (i64 row = first; row < first + run && row < rows; ++row) {
        float p[PIECES][WIDTH], d[PIECES][WIDTH];
        read_scores(p, from, additive, row, columns);
#pragma unroll
        for (int k = 0; k < PIECES; ++k) {
            i64 c = (k * 32 + lane) * WIDTH;
#pragma unroll
            for (int i = 0; i < WIDTH; ++i) d[k][i] = 0;
            if (c < columns) load<WIDTH>(d[k], dy + row * columns + c);
        }
        float sum = 0, log = lse ? lse[row] : 0.0f;
#pragma unroll
        for (int k = 0; k < PIECES; ++k) {
            i64 c = (k * 32 + lane) * WIDTH;
            u32 keep = flags.of<WIDTH>(row * columns + c);
#pragma unroll
            for (int i = 0; i < WIDTH; ++i) {
                p[k][i] = c >= columns ? 0.0f : lse ? expf(p[k][i] - log) : p[k][i];
                d[k][i] = keep >> i & 1 ? d[k][i] * scale : 0.0f;
                sum += d[k][i] * p[k][i];
            }
        }
        sum = warp_sum(sum);
#pragma unroll
        for (int k = 0; k < PIECES; ++k) {
            i64 c = (k * 32 + lane) * WIDTH;
            if (c < columns) {
#pragma unroll
                for (int i = 0; i < WIDTH; ++i) d[k][i] = p[k][i] * (d[k][i] - sum);
                store<WIDTH>(dscores + row * columns + c, d[k]);
            }
        }
    }
}
