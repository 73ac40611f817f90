#include "converters/weights.h"

#include "converters/kernel.h"

#include <stdlib.h>
#include <string.h>

bool i3d_is_2d_kernel(const struct i3d_tensor *tensor)
{
    const char *last = tensor->name;
    for (const char *at = last; *at; at++)
        if (*at == '.' || *at == '/')
            last = at + 1;
    return tensor->rank == 4 && i3d_dtype_is_float(tensor->dtype)
        && i3d_tensor_elements(tensor) > 0
        && (strstr(last, "weight") || !strcmp(last, "w") || last == tensor->name);
}

/* Another number of channels for the kernel that reads the image; 0: as it is. */
static int64_t wanted_channels(const struct i3d_inflate_options *options)
{
    return options->in_channels ? options->in_channels : options->stream == I3D_FLOW ? 2 : 0;
}

static struct i3d_temporal window_of(const struct i3d_recipe *recipe,
                                     const struct i3d_layer *layer, enum i3d_init init)
{
    static const struct i3d_node plain = { .op_type = "Conv", .domain = "" };
    struct i3d_temporal isotropic;
    i3d_isotropic_window(&plain, layer->kernel, &isotropic);
    return i3d_recipe_window(recipe, layer, &isotropic, init);
}

static enum i3d_status put_all(const struct i3d_model *weights, const struct i3d_recipe *recipe,
                               const struct i3d_layer *layers,
                               const struct i3d_inflate_options *options, int axis,
                               struct i3d_model *to, struct i3d_error *error)
{
    int64_t channels = wanted_channels(options);
    enum i3d_status status = I3D_OK;
    for (size_t i = 0; i < weights->tensor_count && !status; i++) {
        const struct i3d_tensor *tensor = &weights->tensors[i];
        if (!i3d_is_2d_kernel(tensor)) {
            status = i3d_model_copy_tensor(to, tensor) ? I3D_OK : i3d_fail_memory(error);
            continue;
        }
        struct i3d_temporal window = window_of(recipe, &layers[i], options->init);
        struct i3d_kernel_plan plan = { window.kernel, axis, window.init,
                                        channels ? channels : tensor->dims[1],
                                        options->channel_init };
        channels = 0; /* the first alone */
        if (window.kernel > I3D_MAX_TAPS)
            status = i3d_fail(error, I3D_UNSUPPORTED, "a temporal kernel of %lld frames is more "
                                                      "than %d", (long long)window.kernel,
                              I3D_MAX_TAPS);
        else
            status = i3d_put_inflated_kernel(to, tensor->name, tensor, &plan, error);
        if (status)
            i3d_error_where(error, "tensor %s", tensor->name);
    }
    return status;
}

static bool copy_metadata(const struct i3d_model *from, struct i3d_model *to)
{
    bool good = true;
    for (size_t i = 0; i < from->metadata_count; i++)
        if (strcmp(from->metadata[i].key, "i3dconv.dialect")) /* of the 2D file's names */
            good &= i3d_set_metadata(to, from->metadata[i].key, from->metadata[i].value);
    return good;
}

enum i3d_status i3d_inflate_weights(const struct i3d_model *weights,
                                    const struct i3d_inflate_options *options, int axis,
                                    struct i3d_model **inflated, struct i3d_error *error)
{
    struct i3d_layer *layers = NULL;
    struct i3d_recipe *builtin = NULL;
    struct i3d_model *to = i3d_model_new();
    size_t kernels = 0;
    *inflated = NULL;
    for (size_t i = 0; i < weights->tensor_count; i++) {
        kernels += i3d_is_2d_kernel(&weights->tensors[i]);
        if (weights->tensors[i].rank == 5) {
            i3d_model_free(to);
            i3d_fail(error, I3D_UNSUPPORTED, "it has five axes: the network is 3D already");
            return i3d_error_where(error, "tensor %s", weights->tensors[i].name);
        }
    }
    enum i3d_status status = to ? I3D_OK : i3d_fail_memory(error);
    if (!status && !kernels)
        status = i3d_fail(error, I3D_UNSUPPORTED, "no tensor is a kernel O×I×H×W");
    if (!status && !options->rules)
        status = i3d_recipe_builtin(options->recipe, &builtin, error);
    const struct i3d_recipe *recipe = builtin ? builtin : options->rules;
    if (!status)
        status = i3d_layers_of_weights(weights, to->arena, &layers, error);
    if (!status)
        status = i3d_recipe_fits(recipe, layers, weights->tensor_count, error);
    if (!status)
        status = put_all(weights, recipe, layers, options, axis, to, error);
    if (!status && !(copy_metadata(weights, to) && i3d_note_inflation(to, recipe, options)))
        status = i3d_fail_memory(error);
    free(layers);
    i3d_recipe_free(builtin);
    if (status)
        i3d_model_free(to);
    else
        *inflated = to;
    return status;
}
