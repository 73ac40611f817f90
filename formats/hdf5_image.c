#include "formats/hdf5_image.h"

#include <sys/mman.h>
#include <unistd.h>

/* The callbacks hand the mapping itself to whoever wants a copy of the image:
 * nobody writes to it and nobody frees it. */
static void *share(size_t size, H5FD_file_image_op_t operation, void *mapping)
{
    (void)size;
    (void)operation;
    return mapping;
}

static void *skip_copy(void *to, const void *from, size_t size, H5FD_file_image_op_t operation,
                       void *mapping)
{
    (void)from;
    (void)size;
    (void)operation;
    (void)mapping;
    return to;
}

static herr_t keep(void *image, H5FD_file_image_op_t operation, void *mapping)
{
    (void)image;
    (void)operation;
    (void)mapping;
    return 0;
}

static void *share_context(void *mapping)
{
    return mapping;
}

static herr_t keep_context(void *mapping)
{
    (void)mapping;
    return 0;
}

hid_t i3d_hdf5_open_image(int descriptor, uint64_t offset, uint64_t size)
{
    /* The library refuses an image whose name some file has; this none can have. */
    static const char name[] = "/dev/null/image";
    uint64_t ahead = offset % (uint64_t)sysconf(_SC_PAGESIZE);
    if (!size || size > SIZE_MAX - ahead)
        return -1;
    char *pages =
        mmap(NULL, size + ahead, PROT_READ, MAP_SHARED, descriptor, (off_t)(offset - ahead));
    hid_t properties = pages == MAP_FAILED ? -1 : H5Pcreate(H5P_FILE_ACCESS);
    if (properties < 0)
        return -1;
    void *mapping = pages + ahead;
    H5FD_file_image_callbacks_t callbacks = {
        .image_malloc = share,
        .image_memcpy = skip_copy,
        .image_free = keep,
        .udata_copy = share_context,
        .udata_free = keep_context,
        .udata = mapping,
    };
    hid_t file = -1;
    if (H5Pset_fapl_core(properties, 1 << 20, 0) >= 0
        && H5Pset_file_image_callbacks(properties, &callbacks) >= 0
        && H5Pset_file_image(properties, mapping, size) >= 0)
        file = H5Fopen(name, H5F_ACC_RDONLY, properties);
    H5Pclose(properties);
    return file;
}
