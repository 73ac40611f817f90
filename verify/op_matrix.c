#include "verify/matrix.h"
#include "verify/operators.h"
#include "verify/parallel.h"
#include "verify/walk.h"

#include <string.h>

static enum i3d_status mismatch(const struct i3d_operation *op)
{
    char a[160], b[160];
    i3d_shape_string(op->inputs[0].rank, op->inputs[0].dims, a, sizeof a);
    i3d_shape_string(op->inputs[1].rank, op->inputs[1].dims, b, sizeof b);
    return i3d_fail(op->error, I3D_MALFORMED, "%s and %s do not multiply", a, b);
}

static enum i3d_status too_large(const struct i3d_operation *op)
{
    return i3d_fail(op->error, I3D_UNSUPPORTED, "a matrix side beyond 2^31 is not handled");
}

/* numpy's matmul: the last two axes are the matrices, those ahead of them
 * broadcast; a vector is a row on the left and a column on the right. */
enum i3d_status i3d_op_matmul(struct i3d_operation *op)
{
    struct i3d_array a = op->inputs[0], b = op->inputs[1];
    bool row = a.rank == 1, column = b.rank == 1;
    if (!a.rank || !b.rank)
        return mismatch(op);
    if (row) {
        a.rank = 2;
        a.dims[1] = a.dims[0];
        a.dims[0] = 1;
    }
    if (column) {
        b.rank = 2;
        b.dims[1] = 1;
    }
    int64_t m = a.dims[a.rank - 2], k = a.dims[a.rank - 1], n = b.dims[b.rank - 1];
    struct i3d_array a_stack = a, b_stack = b;
    a_stack.rank -= 2;
    b_stack.rank -= 2;
    struct i3d_walk walk;
    if (b.dims[b.rank - 2] != k || !i3d_walk_broadcast(&a_stack, &b_stack, &walk))
        return mismatch(op);

    int64_t dims[I3D_MAX_RANK];
    int rank = walk.rank;
    memcpy(dims, walk.dims, sizeof dims);
    if (!row)
        dims[rank++] = m;
    if (!column)
        dims[rank++] = n;
    enum i3d_status status = i3d_op_output(op, 0, I3D_FLOAT32, rank, dims);
    if (status || !op->outputs[0].data)
        return status;
    struct i3d_product product = {
        .m = m, .n = n, .k = k, .alpha = 1, .lda = k, .ldb = n, .ldc = n,
    };
    if (!i3d_product_fits(&product))
        return too_large(op);
    /* Rows of length 1: every matrix of the stack is one. */
    walk.dims[walk.rank] = 1;
    walk.rank++;
    int64_t matrices = i3d_walk_rows(&walk);
    for (int64_t i = 0; i < matrices; i++) {
        product.a = (const float *)a.data + i3d_walk_row(&walk, 0, i) * m * k;
        product.b = (const float *)b.data + i3d_walk_row(&walk, 1, i) * k * n;
        product.c = (float *)op->outputs[0].data + i * m * n;
        i3d_multiply_parallel(&product, op->threads);
    }
    return I3D_OK;
}

/* Spreads C over the output, or zeros where there is none. */
static enum i3d_status gemm_start(struct i3d_operation *op, bool has_c)
{
    struct i3d_array *out = &op->outputs[0];
    struct i3d_walk walk;
    if (!has_c) {
        memset(out->data, 0, i3d_array_bytes(out));
        return I3D_OK;
    }
    const struct i3d_array *c = &op->inputs[2];
    if (!i3d_walk_broadcast(c, out, &walk) || walk.rank != 2
        || memcmp(walk.dims, out->dims, 2 * sizeof *walk.dims)) {
        char from[160], to[160];
        i3d_shape_string(c->rank, c->dims, from, sizeof from);
        i3d_shape_string(out->rank, out->dims, to, sizeof to);
        return i3d_fail(op->error, I3D_MALFORMED, "%s does not broadcast to %s", from, to);
    }
    i3d_walk_copy(&walk, c->data, sizeof(float), out->data, 1);
    return I3D_OK;
}

enum i3d_status i3d_op_gemm(struct i3d_operation *op)
{
    const struct i3d_array *a = &op->inputs[0], *b = &op->inputs[1];
    bool a_transposed = i3d_int(op->node, "transA", 0) != 0;
    bool b_transposed = i3d_int(op->node, "transB", 0) != 0;
    if (a->rank != 2 || b->rank != 2 || a->dims[!a_transposed] != b->dims[b_transposed])
        return mismatch(op);
    struct i3d_product product = {
        .a_transposed = a_transposed,
        .b_transposed = b_transposed,
        .m = a->dims[a_transposed],
        .n = b->dims[!b_transposed],
        .k = a->dims[!a_transposed],
        .alpha = i3d_float(op->node, "alpha", 1),
        .beta = i3d_float(op->node, "beta", 1),
        .a = a->data,
        .b = b->data,
        .lda = a->dims[1],
        .ldb = b->dims[1],
    };
    product.ldc = product.n;
    if (!i3d_product_fits(&product))
        return too_large(op);
    int64_t dims[] = { product.m, product.n };
    enum i3d_status status = i3d_op_output(op, 0, I3D_FLOAT32, 2, dims);
    if (status || !op->outputs[0].data)
        return status;
    status = gemm_start(op, i3d_op_has(op, 2));
    product.c = op->outputs[0].data;
    if (!status)
        i3d_multiply_parallel(&product, op->threads);
    return status;
}
