/* The engine's matrix products; not installed. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Row-major C[m][n] = alpha·A·B + beta·C, A being m×k (k×m where a_transposed),
 * B k×n (n×k where b_transposed); rows lie lda, ldb and ldc elements apart. */
struct i3d_product {
    bool a_transposed, b_transposed;
    int64_t m, n, k;
    float alpha, beta;
    const float *a, *b;
    float *c;
    int64_t lda, ldb, ldc;
};

/* Whether every number fits BLAS' integers. */
bool i3d_product_fits(const struct i3d_product *product);
/* On the calling thread; has to fit. */
void i3d_multiply(const struct i3d_product *product);
/* On up to threads threads. */
void i3d_multiply_parallel(const struct i3d_product *product, int threads);

/* Every product of a run is computed on the thread that asks for it, whichever
 * threads OpenBLAS was built with: begin tells OpenBLAS so, end undoes that. */
struct i3d_blas_state {
    int blas_threads, openmp_threads;
};
struct i3d_blas_state i3d_blas_begin(void);
void i3d_blas_end(struct i3d_blas_state state);
