#include "formats/keras_file.h"

#include <string.h>

static void drop_metadata(struct i3d_model *model, const char *key)
{
    size_t kept = 0;
    for (size_t i = 0; i < model->metadata_count; i++)
        if (strcmp(model->metadata[i].key, key))
            model->metadata[kept++] = model->metadata[i];
    model->metadata_count = kept;
}

enum i3d_status i3d_keras_make_graph(struct i3d_model *model, const char *config,
                                     enum i3d_keras_layout layout, const char *keras_version,
                                     struct i3d_error *error)
{
    struct i3d_error reason;
    struct i3d_model *graph;
    /* Built beside it, since what fails is left half made. */
    enum i3d_status status = i3d_model_copy(model, &graph, error);
    if (status)
        return status;
    status = i3d_keras_build(graph, config, layout, keras_version, &reason);
    if (!status) {
        struct i3d_model weights = *model;
        *model = *graph;
        *graph = weights;
    } else if (status == I3D_UNSUPPORTED) {
        char line[1024];
        i3d_error_format(&reason, line, sizeof line);
        status = i3d_set_metadata(model, I3D_KERAS_NO_GRAPH, line) ? I3D_OK
                                                                   : i3d_fail_memory(error);
    } else if (error) {
        *error = reason;
    }
    i3d_model_free(graph);
    return status;
}

enum i3d_status i3d_keras_read_config(struct i3d_model *model, struct i3d_error *error)
{
    const char *config = i3d_metadata(model, I3D_KERAS_CONFIG);
    if (!config)
        return I3D_OK;
    enum i3d_status status =
        i3d_keras_make_graph(model, config, I3D_KERAS_LEGACY,
                             i3d_metadata(model, "keras.keras_version"), error);
    if (!status && model->node_count) { /* the graph says it now */
        drop_metadata(model, I3D_KERAS_CONFIG);
        drop_metadata(model, "keras.layer_names");
    }
    return status;
}
