#include "verify/walk.h"

#include "verify/parallel.h"

#include <string.h>

void i3d_dense_strides(int rank, const int64_t *dims, int64_t *strides)
{
    int64_t step = 1;
    for (int k = rank - 1; k >= 0; k--) {
        strides[k] = step;
        step *= dims[k];
    }
}

/* Whether a step of axis `outer` is as long as all of the next axis. */
static bool continues(const struct i3d_walk *walk, int outer, int inner)
{
    for (int p = 0; p < I3D_WALK_OPERANDS; p++)
        if (walk->strides[p][outer] != walk->strides[p][inner] * walk->dims[inner])
            return false;
    return true;
}

static void set_axis(struct i3d_walk *walk, int to, int from)
{
    walk->dims[to] = walk->dims[from];
    for (int p = 0; p < I3D_WALK_OPERANDS; p++)
        walk->strides[p][to] = walk->strides[p][from];
}

void i3d_walk_merge(struct i3d_walk *walk)
{
    int kept = 0;
    for (int k = 0; k < walk->rank; k++) {
        if (walk->dims[k] == 1)
            continue;
        if (kept && continues(walk, kept - 1, k)) {
            int64_t length = walk->dims[kept - 1] * walk->dims[k];
            set_axis(walk, kept - 1, k);
            walk->dims[kept - 1] = length;
        } else {
            set_axis(walk, kept++, k);
        }
    }
    if (!kept) {
        walk->dims[0] = 1;
        for (int p = 0; p < I3D_WALK_OPERANDS; p++)
            walk->strides[p][0] = 1;
        kept = 1;
    }
    walk->rank = kept;
}

int64_t i3d_walk_rows(const struct i3d_walk *walk)
{
    int64_t rows = 1;
    for (int k = 0; k + 1 < walk->rank; k++)
        rows *= walk->dims[k];
    return rows;
}

int64_t i3d_walk_row(const struct i3d_walk *walk, int operand, int64_t row)
{
    int64_t position = walk->offset[operand];
    for (int k = walk->rank - 2; k >= 0; k--) {
        position += row % walk->dims[k] * walk->strides[operand][k];
        row /= walk->dims[k];
    }
    return position;
}

bool i3d_walk_broadcast(const struct i3d_array *a, const struct i3d_array *b,
                        struct i3d_walk *walk)
{
    const struct i3d_array *operands[] = { a, b };
    *walk = (struct i3d_walk){ .rank = a->rank > b->rank ? a->rank : b->rank };
    for (int k = 0; k < walk->rank; k++)
        walk->dims[k] = 1;
    for (int p = 0; p < 2; p++) {
        int first = walk->rank - operands[p]->rank;
        int64_t strides[I3D_MAX_RANK];
        i3d_dense_strides(operands[p]->rank, operands[p]->dims, strides);
        for (int k = first; k < walk->rank; k++) {
            int64_t dim = operands[p]->dims[k - first];
            if (dim == 1)
                continue;
            if (walk->dims[k] != 1 && walk->dims[k] != dim)
                return false;
            walk->dims[k] = dim;
            walk->strides[p][k] = strides[k - first];
        }
    }
    return true;
}

#define COPY_ROW(ctype)                                        \
    do {                                                       \
        const ctype *from = (const ctype *)in + begin;         \
        ctype *to = (ctype *)out + row * length;               \
        for (int64_t i = 0; i < length; i++)                   \
            to[i] = from[i * step];                            \
    } while (0)

void i3d_walk_copy(const struct i3d_walk *walk, const void *in, size_t element_size, void *out,
                   int threads)
{
    struct i3d_walk merged = *walk;
    for (int p = 1; p < I3D_WALK_OPERANDS; p++)
        memcpy(merged.strides[p], merged.strides[0], sizeof merged.strides[0]);
    i3d_walk_merge(&merged);
    int64_t rows = i3d_walk_rows(&merged), length = merged.dims[merged.rank - 1];
    int64_t step = merged.strides[0][merged.rank - 1];
    if (!length)
        return;
    I3D_PARALLEL_FOR(threads)
    for (int64_t row = 0; row < rows; row++) {
        int64_t begin = i3d_walk_row(&merged, 0, row);
        if (step == 1)
            memcpy((char *)out + (size_t)(row * length) * element_size,
                   (const char *)in + (size_t)begin * element_size,
                   (size_t)length * element_size);
        else if (element_size == sizeof(float))
            COPY_ROW(uint32_t);
        else if (element_size == sizeof(int64_t))
            COPY_ROW(uint64_t);
        else
            COPY_ROW(uint8_t);
    }
}
