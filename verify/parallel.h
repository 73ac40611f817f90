/* Loops over threads; not installed. One place knows whether OpenMP is there. */
#pragma once

#ifdef _OPENMP
#include <omp.h>
#define I3D_PRAGMA(text) _Pragma(#text)
/* Put before a for loop, whose iterations are shared out evenly. */
#define I3D_PARALLEL_FOR(threads) \
    I3D_PRAGMA(omp parallel for num_threads(threads) schedule(static))
/* The pair for loops whose threads each need memory of their own: a block, and
 * in it a loop whose iterations are handed out one by one. */
#define I3D_PARALLEL(threads) I3D_PRAGMA(omp parallel num_threads(threads))
#define I3D_SHARED_FOR I3D_PRAGMA(omp for schedule(dynamic, 1))
#define I3D_ATOMIC_WRITE I3D_PRAGMA(omp atomic write)
/* Put before an innermost loop whose iterations do not depend on one another. */
#define I3D_SIMD I3D_PRAGMA(omp simd)
#else
static inline int omp_get_max_threads(void) { return 1; }
static inline int omp_get_thread_num(void) { return 0; }
static inline void omp_set_num_threads(int threads) { (void)threads; }
#define I3D_PRAGMA(text)
#define I3D_PARALLEL_FOR(threads) (void)(threads);
#define I3D_PARALLEL(threads) (void)(threads);
#define I3D_SHARED_FOR
#define I3D_ATOMIC_WRITE
#define I3D_SIMD
#endif
