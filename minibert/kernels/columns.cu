// first[c] += Σ_n part[n, c] and second[c] += Σ_n part[n, columns + c], in the order of n, in eight strands: the same on every run.
// The parts are what blocks of another kernel have summed; there are few, so that this costs little beside it.

extern "C" __global__ void add_columns(const float* part, float* first, float* second, i64 rows, i64 columns) {
    extern __shared__ float shared[];
    const i64 all = second ? 2 * columns : columns, c = blockIdx.x * 32ll + threadIdx.x;
    float sum = 0;
    if (c < all)
        for (i64 n = threadIdx.y; n < rows; n += 8) sum += part[n * all + c];
    shared[threadIdx.y * 32 + threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y == 0 && c < all) {
        for (int strand = 1; strand < 8; ++strand) sum += shared[strand * 32 + threadIdx.x];
        (c < columns ? first : second - columns)[c] += sum;
    }
}
