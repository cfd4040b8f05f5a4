// table[id] += Σ rows[n] over all n with ids[n] = id            the ids are sorted: places of equal id are neighbours, a segment
//
// Reads the rows once, reads and writes the table's rows that occur: N·H + 2·(distinct ids)·H numbers is the least.
// Always the same order of summation, and so the same result: no atomics. Two launches, because a segment may be as long as the batch
// (of token types there are two): blocks sum the segments within a chunk of places; what reaches beyond its chunk is added up by the
// second kernel. part: (chunks, 2, H): of the segment that a chunk begins in the middle of, and of the one it does not finish.

extern "C" __global__ void add_segments(TABLE* table, const i64* ids, const i64* order, const real* rows, float* part, i64 places,
                                        i64 chunk, i64 columns) {
    extern __shared__ float shared[];  // of i64 [2][chunk]: where the rows are, and their ids
    i64 *place = reinterpret_cast<i64*>(shared), *id = place + chunk;
    const i64 first = blockIdx.x * chunk, last = first + chunk < places ? first + chunk : places;
    for (i64 n = first + threadIdx.x; n < last; n += blockDim.x) {
        place[n - first] = order[n];
        id[n - first] = ids[order[n]];
    }
    __syncthreads();
    const i64 c = (blockIdx.y * i64(blockDim.x) + threadIdx.x) * WIDTH;
    if (c >= columns) return;
    bool begins = first == 0 || ids[order[first - 1]] != id[0];
    float sum[WIDTH] = {};
    for (i64 n = first; n < last; ++n) {
        float v[WIDTH];
        load<WIDTH>(v, rows + place[n - first] * columns + c);
#pragma unroll
        for (int i = 0; i < WIDTH; ++i) sum[i] += v[i];
        bool at_end = n + 1 == last;
        if (!at_end && id[n + 1 - first] == id[n - first]) continue;
        bool ends = !at_end || last == places || ids[order[last]] != id[n - first];
        if (begins && ends) {
            TABLE* row = table + id[n - first] * columns + c;
#pragma unroll
            for (int i = 0; i < WIDTH; ++i) narrow(row[i], wide(row[i]) + sum[i]);
        } else {
            store<WIDTH>(part + (2 * blockIdx.x + begins) * columns + c, sum);
        }
        begins = true;
#pragma unroll
        for (int i = 0; i < WIDTH; ++i) sum[i] = 0;
    }
}

// A block for each chunk: the segment that begins in it and does not end in it, followed through the chunks after it.
extern "C" __global__ void join_segments(TABLE* table, const i64* ids, const i64* order, const float* part, i64 places, i64 chunk,
                                         i64 columns) {
    const i64 chunks = (places + chunk - 1) / chunk, next = (blockIdx.x + 1) * chunk;
    if (next >= places) return;
    const i64 id = ids[order[next - 1]], first = blockIdx.x * chunk;
    const i64 c = (blockIdx.y * i64(blockDim.x) + threadIdx.x) * WIDTH;
    bool began_before = first > 0 && ids[order[first]] == id && ids[order[first - 1]] == id;
    if (c >= columns || ids[order[next]] != id || began_before) return;
    float sum[WIDTH], v[WIDTH];
    load<WIDTH>(sum, part + (2 * blockIdx.x + 1) * columns + c);
    for (i64 k = blockIdx.x + 1; k < chunks && ids[order[k * chunk]] == id; ++k) {
        load<WIDTH>(v, part + 2 * k * columns + c);
#pragma unroll
        for (int i = 0; i < WIDTH; ++i) sum[i] += v[i];
    }
    TABLE* row = table + id * columns + c;
#pragma unroll
    for (int i = 0; i < WIDTH; ++i) narrow(row[i], wide(row[i]) + sum[i]);
}
