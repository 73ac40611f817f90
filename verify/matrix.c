#include "verify/matrix.h"

#include "verify/parallel.h"

#include <cblas.h>
#include <limits.h>

bool i3d_product_fits(const struct i3d_product *product)
{
    return product->m <= INT_MAX && product->n <= INT_MAX && product->k <= INT_MAX
        && product->lda <= INT_MAX && product->ldb <= INT_MAX && product->ldc <= INT_MAX;
}

/* BLAS refuses a leading dimension of 0, also where there is nothing to do. */
static int leading(int64_t elements)
{
    return elements > 0 ? (int)elements : 1;
}

void i3d_multiply(const struct i3d_product *product)
{
    cblas_sgemm(CblasRowMajor, product->a_transposed ? CblasTrans : CblasNoTrans,
                product->b_transposed ? CblasTrans : CblasNoTrans, (int)product->m,
                (int)product->n, (int)product->k, product->alpha, product->a,
                leading(product->lda), product->b, leading(product->ldb), product->beta,
                product->c, leading(product->ldc));
}

void i3d_multiply_parallel(const struct i3d_product *product, int threads)
{
    /* The longer side of C is cut, into slices worth a call of their own. */
    bool by_rows = product->m > product->n;
    int64_t length = by_rows ? product->m : product->n;
    int64_t slices = length / 16 < threads ? length / 16 : threads;
    if (slices < 1 || (double)product->m * (double)product->n * (double)product->k < 65536)
        slices = 1;
    I3D_PARALLEL_FOR(threads)
    for (int64_t slice = 0; slice < slices; slice++) {
        int64_t begin = length * slice / slices, end = length * (slice + 1) / slices;
        struct i3d_product part = *product;
        if (by_rows) {
            part.m = end - begin;
            part.a += begin * (part.a_transposed ? 1 : part.lda);
            part.c += begin * part.ldc;
        } else {
            part.n = end - begin;
            part.b += begin * (part.b_transposed ? part.ldb : 1);
            part.c += begin;
        }
        i3d_multiply(&part);
    }
}

struct i3d_blas_state i3d_blas_begin(void)
{
    struct i3d_blas_state state = { openblas_get_num_threads(), omp_get_max_threads() };
    openblas_set_num_threads(1);
    return state;
}

void i3d_blas_end(struct i3d_blas_state state)
{
    /* The OpenMP build of OpenBLAS sets OpenMP's own number as well. */
    openblas_set_num_threads(state.blas_threads);
    omp_set_num_threads(state.openmp_threads);
}
