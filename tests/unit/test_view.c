/* Strided views: the lazy tensors that transpose and inflate. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/tensor.h"

static uint64_t state = 1;

static int64_t below(int64_t limit)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)((state >> 33) % (uint64_t)limit);
}

/* The definition in source.h, element by element. */
static float element(const float *base, const struct i3d_view *view, int64_t position)
{
    int64_t at = view->offset, index[I3D_MAX_RANK];
    for (int k = view->rank - 1; k >= 0; k--) {
        index[k] = position % view->dims[k];
        position /= view->dims[k];
        at += index[k] * view->strides[k];
    }
    if (view->tap_axis < 0)
        return base[at];
    int32_t divisor = view->divisors[index[view->tap_axis]];
    return divisor ? base[at] / (float)divisor : 0;
}

static int64_t elements(const struct i3d_view *view)
{
    return i3d_element_count(view->rank, view->dims);
}

/* A transposed view of base dims with one axis of repeats put in. */
static struct i3d_view random_view(const struct i3d_tensor *tensor, bool taps)
{
    struct i3d_view view;
    i3d_view_of(tensor, &view);
    for (int k = view.rank - 1; k > 0; k--) {
        int with = (int)below(k + 1);
        int64_t dim = view.dims[k], stride = view.strides[k];
        view.dims[k] = view.dims[with];
        view.strides[k] = view.strides[with];
        view.dims[with] = dim;
        view.strides[with] = stride;
    }
    int at = (int)below(view.rank + 1);
    memmove(view.dims + at + 1, view.dims + at, (size_t)(view.rank - at) * sizeof *view.dims);
    memmove(view.strides + at + 1, view.strides + at,
            (size_t)(view.rank - at) * sizeof *view.strides);
    view.dims[at] = 1 + below(5);
    view.strides[at] = 0;
    view.rank++;
    if (taps) {
        view.tap_axis = at;
        for (int64_t t = 0; t < view.dims[at]; t++)
            view.divisors[t] = (int32_t)below(4);
    }
    return view;
}

static struct i3d_tensor random_tensor(void)
{
    struct i3d_tensor tensor = { .name = "w", .dtype = I3D_FLOAT32, .rank = 1 + (int)below(4) };
    for (int k = 0; k < tensor.rank; k++)
        tensor.dims[k] = 1 + below(5);
    int64_t count = i3d_tensor_elements(&tensor);
    float *values = malloc((size_t)count * sizeof *values);
    assert_non_null(values);
    for (int64_t i = 0; i < count; i++)
        values[i] = (float)below(1000) / 7;
    tensor.source = i3d_source_take(values, (size_t)count * sizeof *values);
    assert_non_null(tensor.source);
    return tensor;
}

static float *read_all(struct i3d_source *source)
{
    struct i3d_error error;
    float *values = malloc(i3d_source_length(source) + 1);
    assert_non_null(values);
    assert_int_equal(i3d_source_read(source, 0, values, i3d_source_length(source), &error), I3D_OK);
    return values;
}

static void views_follow_their_definition(void **unused)
{
    (void)unused;
    for (int round = 0; round < 500; round++) {
        struct i3d_tensor tensor = random_tensor();
        float *base = read_all(tensor.source);
        struct i3d_view view = random_view(&tensor, round % 2);
        struct i3d_source *source = i3d_source_view(tensor.source, &view);
        assert_non_null(source);
        float *values = read_all(source);
        for (int64_t i = 0; i < elements(&view); i++)
            assert_true(values[i] == element(base, &view, i));
        /* any byte range, cutting elements too */
        uint64_t length = i3d_source_length(source);
        uint64_t from = (uint64_t)below((int64_t)length);
        size_t count = (size_t)below((int64_t)(length - from) + 1);
        char *piece = malloc(count + 1);
        assert_non_null(piece);
        assert_int_equal(i3d_source_read(source, from, piece, count, NULL), I3D_OK);
        assert_memory_equal(piece, (char *)values + from, count);
        free(piece);
        free(values);
        free(base);
        i3d_source_release(source);
        i3d_source_release(tensor.source);
    }
}

static void views_of_views_are_the_same_elements(void **unused)
{
    (void)unused;
    int folded = 0;
    for (int round = 0; round < 1000; round++) {
        struct i3d_tensor tensor = random_tensor();
        struct i3d_view first = random_view(&tensor, round % 3 == 0);
        struct i3d_source *inner = i3d_source_view(tensor.source, &first);
        assert_non_null(inner);
        float *middle = read_all(inner);
        struct i3d_tensor between = { .name = "v", .dtype = I3D_FLOAT32, .rank = first.rank,
                                      .source = inner };
        memcpy(between.dims, first.dims, sizeof between.dims);
        struct i3d_view second = random_view(&between, round % 5 == 0);
        struct i3d_source *outer = i3d_source_view(inner, &second);
        assert_non_null(outer);
        struct i3d_source *base;
        assert_non_null(i3d_source_as_view(outer, &base));
        folded += base == tensor.source;
        float *values = read_all(outer);
        for (int64_t i = 0; i < elements(&second); i++)
            assert_true(values[i] == element(middle, &second, i));
        free(values);
        free(middle);
        i3d_source_release(outer);
        i3d_source_release(inner);
        i3d_source_release(tensor.source);
    }
    assert_true(folded > 500); /* transposing an inflated kernel reads the 2D one alone */
}

static void views_outside_their_base_are_refused(void **unused)
{
    (void)unused;
    float values[6] = { 0 };
    struct i3d_source *base = i3d_source_copy(values, sizeof values);
    struct i3d_view view = { .dtype = I3D_FLOAT32, .rank = 1, .dims = { 6 }, .strides = { 1 },
                             .tap_axis = -1 };
    struct i3d_source *good = i3d_source_view(base, &view);
    assert_non_null(good);
    i3d_source_release(good);
    view.offset = 1;
    assert_null(i3d_source_view(base, &view));
    view.offset = 0;
    view.strides[0] = INT64_MAX / 2;
    assert_null(i3d_source_view(base, &view));
    view.strides[0] = -1;
    assert_null(i3d_source_view(base, &view));
    view.strides[0] = 1;
    view.rank = I3D_MAX_RANK + 1;
    assert_null(i3d_source_view(base, &view));
    i3d_source_release(base);
}

struct collector {
    char *bytes;
    size_t length, largest;
};

static enum i3d_status collect(void *context, const void *bytes, size_t length,
                               struct i3d_error *error)
{
    (void)error;
    struct collector *collector = context;
    memcpy(collector->bytes + collector->length, bytes, length);
    collector->length += length;
    if (length > collector->largest)
        collector->largest = length;
    return I3D_OK;
}

static void streams_come_in_bounded_pieces(void **unused)
{
    (void)unused;
    enum { ROWS = 300, COLUMNS = 1000 };
    struct i3d_tensor tensor = { .name = "w", .dtype = I3D_FLOAT32, .rank = 2,
                                 .dims = { ROWS, COLUMNS } };
    float *values = malloc(ROWS * COLUMNS * sizeof *values);
    assert_non_null(values);
    for (int i = 0; i < ROWS * COLUMNS; i++)
        values[i] = (float)i;
    tensor.source = i3d_source_take(values, ROWS * COLUMNS * sizeof *values);
    struct i3d_view view = { .dtype = I3D_FLOAT32, .rank = 3, .dims = { COLUMNS, 3, ROWS },
                             .strides = { 1, 0, COLUMNS }, .tap_axis = 1,
                             .divisors = { 3, 3, 3 } };
    struct i3d_source *source = i3d_source_view(tensor.source, &view);
    assert_non_null(source);
    struct collector collector = { .bytes = malloc(i3d_source_length(source)) };
    assert_non_null(collector.bytes);
    assert_int_equal(i3d_source_stream(source, collect, &collector, NULL), I3D_OK);
    assert_int_equal(collector.length, i3d_source_length(source));
    assert_true(collector.largest <= 1 << 20);
    float *all = read_all(source);
    assert_memory_equal(all, collector.bytes, collector.length);
    free(all);
    free(collector.bytes);
    i3d_source_release(source);
    i3d_source_release(tensor.source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(views_follow_their_definition),
        cmocka_unit_test(views_of_views_are_the_same_elements),
        cmocka_unit_test(views_outside_their_base_are_refused),
        cmocka_unit_test(streams_come_in_bounded_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
