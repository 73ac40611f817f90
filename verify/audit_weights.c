#include "verify/audit.h"

#include "converters/weights.h"
#include "model/index.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct i3d_node plain = { .op_type = "Conv", .domain = "" };

static bool same_shape(const struct i3d_tensor *a, const struct i3d_tensor *b)
{
    return a->rank == b->rank
        && (!a->rank || !memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims));
}

/* What PyTorch counts, and no network computes with. */
static bool is_counter(const struct i3d_tensor *tensor)
{
    static const char SUFFIX[] = "num_batches_tracked";
    size_t length = strlen(tensor->name), tail = sizeof SUFFIX - 1;
    return length >= tail && !strcmp(tensor->name + length - tail, SUFFIX);
}

static enum i3d_status audit_pair(const struct i3d_tensor *flat, const struct i3d_tensor *inflated,
                                  bool is_first, bool foreign, struct i3d_layer_verdict *verdict,
                                  struct i3d_error *error)
{
    char shape[80], flat_shape[80];
    const struct i3d_kernel_pair kernels = {
        .flat_node = &plain, .inflated_node = &plain, .flat = flat, .inflated = inflated,
        .reads_input = is_first, .foreign = foreign,
    };
    *verdict = (struct i3d_layer_verdict){
        .name = flat->name, .twin = inflated->name, .operation = "tensor", .rank = inflated->rank,
        .has_weights = true, .audit_good = true, .max_absolute = NAN, .max_relative = NAN,
        .relative_l2 = NAN, .bound = NAN, .worst_case = NAN, .clean_first = -1, .clean_last = -1,
    };
    memcpy(verdict->dims, inflated->dims, sizeof verdict->dims);
    if (inflated->rank == 5 && i3d_is_2d_kernel(flat)) {
        verdict->operation = "kernel";
        return i3d_audit_kernel(&kernels, verdict, error);
    }
    if (same_shape(flat, inflated))
        return i3d_audit_vector("the value", flat, inflated, verdict, error);
    i3d_object(verdict, "a tensor of %s cannot come from one of %s",
               i3d_shape_string(inflated->rank, inflated->dims, shape, sizeof shape),
               i3d_shape_string(flat->rank, flat->dims, flat_shape, sizeof flat_shape));
    return I3D_OK;
}

static enum i3d_status audit_all(const struct i3d_model *flat, const struct i3d_model *inflated,
                                 const struct i3d_index *of_inflated, struct i3d_proof *proof,
                                 struct i3d_error *error)
{
    bool foreign = !i3d_metadata(inflated, "i3dconv.recipe"), seen_kernel = false;
    enum i3d_status status = I3D_OK;
    for (size_t i = 0; i < flat->tensor_count && !status; i++) {
        const struct i3d_tensor *tensor = &flat->tensors[i];
        bool is_first = !seen_kernel && i3d_is_2d_kernel(tensor);
        int64_t at = i3d_index_tensor(of_inflated, tensor->name);
        seen_kernel |= is_first;
        if (is_counter(tensor))
            continue;
        if (at == I3D_NOWHERE)
            proof->names_2d[proof->unpaired_2d++] = tensor->name;
        else
            status = audit_pair(tensor, &inflated->tensors[at], is_first, foreign,
                                &proof->layers[proof->layer_count++], error);
        if (status)
            i3d_error_where(error, "tensor %s", tensor->name);
    }
    return status;
}

static enum i3d_status conclude(struct i3d_proof *proof, struct i3d_error *error)
{
    bool inflates = false;
    proof->deployed_good = true;
    proof->weights_good = !proof->unpaired_2d && !proof->unpaired_3d;
    if (!proof->weights_good)
        strcpy(proof->obstacle, "each file has to have the other's tensors, by name");
    for (size_t i = 0; i < proof->layer_count; i++) {
        inflates |= !strcmp(proof->layers[i].operation, "kernel");
        if (proof->layers[i].audit_good)
            continue;
        proof->weights_good = false;
        if (proof->first_bad < 0)
            proof->first_bad = (int64_t)i;
    }
    proof->good = proof->weights_good;
    return inflates ? I3D_OK
                    : i3d_fail(error, I3D_UNSUPPORTED, "no kernel of the 2D file is there with one "
                                                       "axis more, by name");
}

static enum i3d_status audit(struct i3d_proof *proof, struct i3d_error *error)
{
    const struct i3d_model *flat = proof->flat, *inflated = proof->inflated;
    struct i3d_index *of_flat = i3d_index_new(flat), *of_inflated = i3d_index_new(inflated);
    proof->layers = calloc(flat->tensor_count + 1, sizeof *proof->layers);
    proof->names_2d = calloc(flat->tensor_count + 1, sizeof *proof->names_2d);
    proof->names_3d = calloc(inflated->tensor_count + 1, sizeof *proof->names_3d);
    enum i3d_status status = of_flat && of_inflated && proof->layers && proof->names_2d
            && proof->names_3d ? I3D_OK : i3d_fail_memory(error);
    if (!status)
        status = audit_all(flat, inflated, of_inflated, proof, error);
    for (size_t i = 0; !status && i < inflated->tensor_count; i++)
        if (!is_counter(&inflated->tensors[i])
            && i3d_index_tensor(of_flat, inflated->tensors[i].name) == I3D_NOWHERE)
            proof->names_3d[proof->unpaired_3d++] = inflated->tensors[i].name;
    i3d_index_free(of_flat);
    i3d_index_free(of_inflated);
    return status ? status : conclude(proof, error);
}

enum i3d_status i3d_prove_weights(const struct i3d_model *flat, const struct i3d_model *inflated,
                                  struct i3d_proof *proof, struct i3d_error *error)
{
    *proof = (struct i3d_proof){ .first_bad = -1, .by_name = true };
    enum i3d_status status = i3d_model_copy(flat, &proof->flat, error);
    if (!status)
        status = i3d_model_copy(inflated, &proof->inflated, error);
    if (!status)
        status = audit(proof, error);
    if (status)
        i3d_proof_free(proof);
    return status;
}
