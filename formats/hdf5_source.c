/* An HDF5 file that is part of another file: what libhdf5 makes, a temporary file, with the
 * tensors' elements at their places, drawn from where they are when they are asked for. */
#include "formats/hdf5_child.h"
#include "formats/hdf5_layout.h"
#include "formats/hdf5_source.h"
#include "formats/output.h"

#include <stdio.h>
#include <stdlib.h>

struct piece {
    uint64_t at, end;
    const char *name; /* of the tensor */
    struct i3d_source *source;
};

/* The description is a file with holes where the pieces go. */
struct overlay {
    struct i3d_file *description;
    size_t count;
    struct piece pieces[]; /* sorted, disjoint */
};

/* The first piece that ends behind a byte; count if none does. */
static size_t find_piece(const struct overlay *overlay, uint64_t at)
{
    size_t low = 0, high = overlay->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (overlay->pieces[middle].end > at)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static enum i3d_status read_overlay(void *context, uint64_t offset, void *bytes, size_t length,
                                    struct i3d_error *error)
{
    struct overlay *overlay = context;
    enum i3d_status status = I3D_OK;
    char *to = bytes;
    size_t next = find_piece(overlay, offset);
    while (length && !status) {
        const struct piece *piece = next < overlay->count ? &overlay->pieces[next] : NULL;
        bool inside = piece && piece->at <= offset;
        uint64_t end = !piece ? UINT64_MAX : inside ? piece->end : piece->at;
        size_t part = length < end - offset ? length : (size_t)(end - offset);
        if (inside)
            status = i3d_source_read(piece->source, offset - piece->at, to, part, error);
        else
            status = i3d_file_read(overlay->description, offset, to, part, error);
        if (inside && status)
            i3d_error_where(error, "tensor %s", piece->name);
        next += offset + part == end && inside;
        to += part;
        offset += part;
        length -= part;
    }
    return status;
}

static void release_overlay(void *context)
{
    struct overlay *overlay = context;
    for (size_t i = 0; i < overlay->count; i++)
        i3d_source_release(overlay->pieces[i].source);
    if (overlay->description)
        i3d_file_release(overlay->description);
    free(overlay);
}

static int compare_pieces(const void *a, const void *b)
{
    const struct piece *one = a, *other = b;
    return one->at < other->at ? -1 : one->at > other->at;
}

/* Takes the places from the child, one for each tensor, and its word that the file is made. */
static enum i3d_status take_places(const struct i3d_model *weights, struct i3d_hdf5_child *child,
                                   struct overlay *overlay, struct i3d_error *error)
{
    struct i3d_hdf5_answer answer;
    for (size_t i = 0; i < weights->tensor_count; i++) {
        const struct i3d_tensor *tensor = &weights->tensors[i];
        uint64_t bytes = i3d_tensor_bytes(tensor);
        enum i3d_status status = i3d_hdf5_await(child, I3D_SYSTEM, &answer, error);
        if (status)
            return status;
        if (bytes)
            overlay->pieces[overlay->count++] =
                (struct piece){ answer.length, answer.length + bytes, tensor->name,
                                i3d_source_retain(tensor->source) };
    }
    return i3d_hdf5_await(child, I3D_SYSTEM, &answer, error);
}

static bool is_sound(const struct overlay *overlay, uint64_t size)
{
    uint64_t end = 0;
    for (size_t i = 0; i < overlay->count; i++) {
        const struct piece *piece = &overlay->pieces[i];
        if (piece->at < end || piece->end < piece->at)
            return false;
        end = piece->end;
    }
    return end <= size;
}

static enum i3d_status make(const struct i3d_model *weights, int descriptor,
                            struct overlay *overlay, struct i3d_error *error)
{
    /* Not by its name: see i3d_hdf5_write. */
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
    struct i3d_hdf5_layout layout;
    struct i3d_hdf5_child *child;
    enum i3d_status status = i3d_hdf5_plan(weights, path, &layout, error);
    if (status)
        return status;
    status = i3d_hdf5_start(i3d_hdf5_create, &layout, 0, &child, error);
    if (!status) {
        status = take_places(weights, child, overlay, error);
        i3d_hdf5_release(child);
    }
    i3d_hdf5_free_plan(&layout);
    return status;
}

static enum i3d_status make_description(const struct i3d_model *weights, struct overlay *overlay,
                                        struct i3d_error *error)
{
    struct i3d_output *output;
    enum i3d_status status = i3d_output_open_scratch(&output, error);
    if (status)
        return status;
    status = make(weights, i3d_output_descriptor(output), overlay, error);
    if (!status)
        return i3d_output_take(output, &overlay->description, error);
    i3d_output_abandon(output);
    return status;
}

enum i3d_status i3d_hdf5_source(const struct i3d_model *weights, struct i3d_source **source,
                                struct i3d_error *error)
{
    *source = NULL;
    struct overlay *overlay =
        calloc(1, sizeof *overlay + weights->tensor_count * sizeof *overlay->pieces);
    if (!overlay)
        return i3d_fail_memory(error);
    enum i3d_status status = make_description(weights, overlay, error);
    uint64_t size = status ? 0 : i3d_file_size(overlay->description);
    qsort(overlay->pieces, overlay->count, sizeof *overlay->pieces, compare_pieces);
    if (!status && !is_sound(overlay, size))
        status = i3d_fail(error, I3D_SYSTEM, "the HDF5 library made no sound file");
    if (!status)
        *source = i3d_source_callback(read_overlay, release_overlay, overlay, size);
    if (!*source)
        release_overlay(overlay);
    return status || *source ? status : i3d_fail_memory(error);
}
