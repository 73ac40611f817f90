#include "verify/kernels.h"

const struct i3d_kernels *i3d_kernels_at(size_t k)
{
    const struct i3d_kernels *usable[3] = { &i3d_kernels_plain };
    size_t count = 1;
#ifdef __x86_64__
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        usable[count++] = &i3d_kernels_avx2;
        if (__builtin_cpu_supports("avx512f"))
            usable[count++] = &i3d_kernels_avx512;
    }
#endif
    return k < count ? usable[k] : NULL;
}

const struct i3d_kernels *i3d_best_kernels(void)
{
    size_t k = 0;
    while (i3d_kernels_at(k + 1))
        k++;
    return i3d_kernels_at(k);
}
