#include "model/shape.h"
#include "model/shape_infer.h"

#include <limits.h>
#include <stdlib.h>

struct i3d_shapes {
    struct i3d_arena *arena;
    const struct i3d_index *index;
    struct i3d_index *own_index; /* to be freed, or null */
    struct i3d_fact *facts;
};

static const struct i3d_fact nothing = { .shape = { .rank = -1 } };

enum i3d_status i3d_infer_where(const struct i3d_node *node, struct i3d_error *error)
{
    char name[160];
    const char *text = node->name && node->name[0] ? node->name
        : node->output_count                       ? node->outputs[0]
                                                   : "";
    return i3d_error_where(error, "node %s (%s)", i3d_printable(text, name, sizeof name),
                           node->op_type);
}

bool i3d_infer_has(const struct i3d_inference *op, size_t k)
{
    return k < op->node->input_count && op->node->inputs[k][0];
}

const struct i3d_fact *i3d_infer_in(const struct i3d_inference *op, size_t k)
{
    if (!i3d_infer_has(op, k))
        return &nothing;
    int64_t number = i3d_index_value(op->index, op->node->inputs[k]);
    return number == I3D_NOWHERE ? &nothing : &op->facts[number];
}

struct i3d_fact *i3d_infer_out(const struct i3d_inference *op, size_t k)
{
    if (k >= op->node->output_count)
        return NULL;
    int64_t number = i3d_index_value(op->index, op->node->outputs[k]);
    return number == I3D_NOWHERE ? NULL : &op->facts[number];
}

/* Whether the product of the known dims, and so each of them, is one that
 * i3d_element_count can tell. */
static bool is_countable(const struct i3d_shape *shape)
{
    int64_t dims[I3D_MAX_RANK];
    for (int k = 0; k < shape->rank; k++)
        dims[k] = shape->dims[k] < 0 ? 1 : shape->dims[k];
    for (int k = 0; k < shape->rank; k++)
        if (dims[k] > INT64_MAX / 16)
            return false;
    return i3d_element_count(shape->rank, dims) >= 0;
}

enum i3d_status i3d_infer_set(const struct i3d_inference *op, size_t k,
                              const struct i3d_shape *shape)
{
    struct i3d_fact *fact = i3d_infer_out(op, k);
    if (!is_countable(shape)) {
        char text[160];
        return i3d_fail(op->error, I3D_MALFORMED, "its output is too large: %s",
                        i3d_shape_string(shape->rank, shape->dims, text, sizeof text));
    }
    if (fact)
        *fact = (struct i3d_fact){ .shape = *shape };
    return I3D_OK;
}

struct i3d_shape i3d_infer_open(enum i3d_dtype dtype, int64_t rank)
{
    struct i3d_shape shape = { .dtype = dtype, .rank = -1 };
    if (rank >= 0 && rank <= I3D_MAX_RANK)
        shape.rank = (int)rank;
    for (int k = 0; k < shape.rank; k++)
        shape.dims[k] = -1;
    return shape;
}

int64_t i3d_infer_elements(const struct i3d_shape *shape)
{
    return shape->rank < 0 ? -1 : i3d_element_count(shape->rank, shape->dims);
}

enum i3d_status i3d_infer_axis(const struct i3d_inference *op, int64_t axis, int rank, int *out)
{
    if (axis < -rank || axis >= rank)
        return i3d_fail(op->error, I3D_MALFORMED, "axis %lld is out of range for rank %d",
                        (long long)axis, rank);
    *out = (int)(axis < 0 ? axis + rank : axis);
    return I3D_OK;
}

void i3d_infer_list(const struct i3d_inference *op, const char *attribute, size_t input,
                    struct i3d_infer_list *list)
{
    *list = (struct i3d_infer_list){ .count = -1 };
    if (attribute && i3d_attribute(op->node, attribute)) {
        size_t count;
        const int64_t *numbers = i3d_ints(op->node, attribute, &count);
        list->present = true;
        if (count > I3D_MAX_KNOWN_INTS)
            return;
        list->complete = true;
        list->count = (int)count;
        for (size_t k = 0; k < count; k++) {
            list->values[k] = numbers[k];
            list->known[k] = true;
        }
        return;
    }
    if (!i3d_infer_has(op, input))
        return;
    list->present = true;
    const struct i3d_fact *fact = i3d_infer_in(op, input);
    if (fact->ints) {
        list->complete = true;
        list->count = fact->ints->count;
        for (int k = 0; k < list->count; k++) {
            list->values[k] = fact->ints->values[k];
            list->known[k] = fact->ints->known[k];
            list->complete &= list->known[k];
        }
    } else {
        int64_t elements = i3d_infer_elements(&fact->shape);
        if (elements >= 0 && elements <= I3D_MAX_KNOWN_INTS)
            list->count = (int)elements;
    }
}

enum i3d_status i3d_infer_axes(const struct i3d_inference *op, const struct i3d_infer_list *list,
                               int rank, bool *chosen)
{
    for (int k = 0; k < rank; k++)
        chosen[k] = false;
    for (int k = 0; k < list->count; k++) {
        int axis = 0;
        enum i3d_status status = i3d_infer_axis(op, list->values[k], rank, &axis);
        if (status)
            return status;
        if (chosen[axis])
            return i3d_fail(op->error, I3D_MALFORMED, "axis %d is listed twice", axis);
        chosen[axis] = true;
    }
    return I3D_OK;
}

const struct i3d_tensor *i3d_infer_tensor(const struct i3d_inference *op, const char *attribute)
{
    const struct i3d_attribute *found = i3d_attribute(op->node, attribute);
    return found && found->type == I3D_ATTRIBUTE_TENSOR ? found->tensor : NULL;
}

enum i3d_status i3d_infer_floats(const struct i3d_inference *op, size_t input, int limit,
                                 float *values, int *count)
{
    *count = -1;
    if (!i3d_infer_has(op, input))
        return I3D_OK;
    const char *name = op->node->inputs[input];
    const struct i3d_tensor *tensor = NULL;
    int64_t position = i3d_index_tensor(op->index, name);
    int64_t producer = i3d_index_producer(op->index, name);
    if (position != I3D_NOWHERE) {
        tensor = &op->model->tensors[position];
    } else if (producer != I3D_NOWHERE && i3d_is(&op->model->nodes[producer], "Constant")) {
        const struct i3d_attribute *value = i3d_attribute(&op->model->nodes[producer], "value");
        const struct i3d_attribute *floats =
            i3d_attribute(&op->model->nodes[producer], "value_floats");
        if (value && value->type == I3D_ATTRIBUTE_TENSOR) {
            tensor = value->tensor;
        } else if (floats && floats->type == I3D_ATTRIBUTE_FLOATS
                   && floats->count <= (size_t)limit) {
            *count = (int)floats->count;
            for (int k = 0; k < *count; k++)
                values[k] = floats->floats[k];
        }
    }
    if (!tensor || !tensor->source || i3d_tensor_elements(tensor) > limit)
        return I3D_OK;
    float *loaded;
    enum i3d_status status = i3d_tensor_load_float(tensor, &loaded, op->error);
    if (status)
        return status;
    *count = (int)i3d_tensor_elements(tensor);
    for (int k = 0; k < *count; k++)
        values[k] = loaded[k];
    free(loaded);
    return I3D_OK;
}

static struct i3d_shape declared_shape(const struct i3d_value *value)
{
    struct i3d_shape shape = i3d_infer_open(value->dtype, value->rank);
    for (int k = 0; k < shape.rank; k++)
        shape.dims[k] = value->dims[k].value < 0 ? -1 : value->dims[k].value;
    return shape;
}

static struct i3d_shape tensor_shape(const struct i3d_tensor *tensor)
{
    struct i3d_shape shape = { .dtype = tensor->dtype, .rank = tensor->rank };
    for (int k = 0; k < tensor->rank; k++)
        shape.dims[k] = tensor->dims[k];
    return shape;
}

static enum i3d_status state_tensors(const struct i3d_model *model, struct i3d_shapes *shapes,
                                     struct i3d_error *error)
{
    for (size_t t = 0; t < model->tensor_count; t++) {
        const struct i3d_tensor *tensor = &model->tensors[t];
        int64_t number = i3d_index_value(shapes->index, tensor->name);
        if (number == I3D_NOWHERE)
            continue;
        shapes->facts[number].shape = tensor_shape(tensor);
        enum i3d_status status = i3d_ints_of_tensor(shapes->arena, tensor,
                                                    &shapes->facts[number].ints, error);
        if (status)
            return status;
    }
    return I3D_OK;
}

/* False if what the caller asks for is not one of the shapes that the graph
 * declares for this input. */
static bool state_input(struct i3d_fact *fact, const struct i3d_value *input,
                        const struct i3d_shape *wanted)
{
    struct i3d_shape declared = declared_shape(input);
    fact->shape = declared;
    if (!wanted)
        return true;
    if (wanted->dtype)
        fact->shape.dtype = wanted->dtype;
    if (wanted->rank < 0)
        return true;
    fact->shape.rank = wanted->rank;
    bool fits = declared.rank < 0 || declared.rank == wanted->rank;
    for (int k = 0; k < wanted->rank; k++) {
        fact->shape.dims[k] = wanted->dims[k] < 0 ? -1 : wanted->dims[k];
        fits &= declared.rank != wanted->rank || declared.dims[k] < 0
            || declared.dims[k] == fact->shape.dims[k];
    }
    return fits;
}

static enum i3d_status state_inputs(const struct i3d_model *model, struct i3d_shapes *shapes,
                                    const struct i3d_shape *input_shapes,
                                    size_t input_shape_count, bool *as_declared,
                                    struct i3d_error *error)
{
    *as_declared = true;
    for (size_t k = 0; k < model->input_count; k++) {
        const struct i3d_value *input = &model->inputs[k];
        const struct i3d_shape *wanted =
            input_shapes && k < input_shape_count ? &input_shapes[k] : NULL;
        int64_t number = i3d_index_value(shapes->index, input->name);
        if (number == I3D_NOWHERE)
            continue;
        *as_declared &= state_input(&shapes->facts[number], input, wanted);
        if (!is_countable(&shapes->facts[number].shape)) {
            i3d_fail(error, I3D_MALFORMED, "its shape is too large");
            return i3d_error_where(error, "input %s", input->name);
        }
    }
    return I3D_OK;
}

/* Adds what the file says of a value to what was inferred; where they differ,
 * what was inferred stands, as annotations in files are often stale. */
static void fill_from_declared(struct i3d_fact *fact, const struct i3d_value *value)
{
    struct i3d_shape merged = fact->shape, declared = declared_shape(value);
    if (!merged.dtype)
        merged.dtype = declared.dtype;
    if (merged.rank < 0) {
        declared.dtype = merged.dtype;
        merged = declared;
    } else if (merged.rank == declared.rank) {
        for (int k = 0; k < merged.rank; k++)
            if (merged.dims[k] < 0)
                merged.dims[k] = declared.dims[k];
    }
    if (is_countable(&merged))
        fact->shape = merged;
}

static const struct i3d_value **index_declared(const struct i3d_model *model,
                                               const struct i3d_shapes *shapes)
{
    size_t count = i3d_index_value_count(shapes->index);
    const struct i3d_value **declared = calloc(count ? count : 1, sizeof *declared);
    for (size_t k = 0; declared && k < model->value_count + model->output_count; k++) {
        const struct i3d_value *value = k < model->value_count
            ? &model->values[k]
            : &model->outputs[k - model->value_count];
        int64_t number = i3d_index_value(shapes->index, value->name);
        if (number != I3D_NOWHERE && !declared[number])
            declared[number] = value;
    }
    return declared;
}

static enum i3d_status infer_node(const struct i3d_inference *op)
{
    const struct i3d_infer_row *row = i3d_infer_row(op->node);
    if (!row)
        return I3D_OK;
    for (size_t k = 0; k < row->required; k++)
        if (!i3d_infer_has(op, k))
            return i3d_fail(op->error, I3D_MALFORMED, "it needs %zu inputs", row->required);
    enum i3d_status status = row->shape(op);
    struct i3d_fact *out = i3d_infer_out(op, 0);
    if (status || !row->ints || !out)
        return status;
    int64_t elements = i3d_infer_elements(&out->shape);
    bool is_integer = out->shape.dtype == I3D_INT64 || out->shape.dtype == I3D_INT32;
    return is_integer && elements >= 0 && elements <= I3D_MAX_KNOWN_INTS ? row->ints(op) : I3D_OK;
}

static enum i3d_status walk(const struct i3d_model *model, struct i3d_shapes *shapes,
                            const struct i3d_value *const *declared, bool as_declared,
                            struct i3d_error *error)
{
    int64_t opset = i3d_opset(model);
    struct i3d_inference op = {
        .model = model,
        .index = shapes->index,
        .arena = shapes->arena,
        .facts = shapes->facts,
        .opset = opset ? opset : INT64_MAX,
        .error = error,
    };
    for (size_t n = 0; n < model->node_count; n++) {
        op.node = &model->nodes[n];
        enum i3d_status status = infer_node(&op);
        if (status)
            return i3d_infer_where(op.node, error), status;
        for (size_t k = 0; k < op.node->output_count; k++) {
            int64_t number = i3d_index_value(shapes->index, op.node->outputs[k]);
            if (number != I3D_NOWHERE && declared[number] && as_declared)
                fill_from_declared(&shapes->facts[number], declared[number]);
        }
    }
    return I3D_OK;
}

static enum i3d_status infer(const struct i3d_model *model, struct i3d_shapes *shapes,
                             const struct i3d_shape *input_shapes, size_t input_shape_count,
                             struct i3d_error *error)
{
    size_t count = i3d_index_value_count(shapes->index);
    shapes->facts = i3d_arena_alloc(shapes->arena, count, sizeof *shapes->facts);
    if (!shapes->facts)
        return i3d_fail_memory(error);
    for (size_t k = 0; k < count; k++)
        shapes->facts[k] = nothing;

    bool as_declared;
    enum i3d_status status = state_inputs(model, shapes, input_shapes, input_shape_count,
                                          &as_declared, error);
    if (!status)
        status = state_tensors(model, shapes, error);
    if (status)
        return status;
    const struct i3d_value **declared = index_declared(model, shapes);
    status = declared ? walk(model, shapes, declared, as_declared, error)
                      : i3d_fail_memory(error);
    free(declared);
    return status;
}

enum i3d_status i3d_infer_shapes(const struct i3d_model *model, const struct i3d_index *index,
                                 const struct i3d_shape *input_shapes, size_t input_shape_count,
                                 struct i3d_shapes **shapes, struct i3d_error *error)
{
    *shapes = NULL;
    struct i3d_shapes *fresh = calloc(1, sizeof *fresh);
    if (!fresh)
        return i3d_fail_memory(error);
    fresh->arena = i3d_arena_new();
    if (!index)
        fresh->own_index = i3d_index_new(model);
    fresh->index = index ? index : fresh->own_index;
    enum i3d_status status = fresh->arena && fresh->index
        ? infer(model, fresh, input_shapes, input_shape_count, error)
        : i3d_fail_memory(error);
    if (status)
        i3d_shapes_free(fresh);
    else
        *shapes = fresh;
    return status;
}

void i3d_shapes_free(struct i3d_shapes *shapes)
{
    if (!shapes)
        return;
    i3d_index_free(shapes->own_index);
    i3d_arena_free(shapes->arena);
    free(shapes);
}

static const struct i3d_fact *fact_of(const struct i3d_shapes *shapes, const char *value)
{
    int64_t number = i3d_index_value(shapes->index, value);
    return number == I3D_NOWHERE ? &nothing : &shapes->facts[number];
}

const struct i3d_shape *i3d_shape_of(const struct i3d_shapes *shapes, const char *value)
{
    return &fact_of(shapes, value)->shape;
}

const int64_t *i3d_known_ints(const struct i3d_shapes *shapes, const char *value, int *count,
                              const bool **known)
{
    const struct i3d_fact *fact = fact_of(shapes, value);
    if (!fact->ints || fact->shape.rank > 1)
        return NULL;
    *count = fact->ints->count;
    *known = fact->ints->known;
    return fact->ints->values;
}
