/* What the writer and the reader of the graph's JSON agree on; not installed. */
#pragma once

#include "model/model.h"

enum { I3D_GRAPH_JSON_VERSION = 1 };

/* Texts of a model by their keys; ended by a null key. */
struct i3d_model_text {
    const char *key;
    size_t offset;
};
extern const struct i3d_model_text i3d_model_texts[];

static inline const char **i3d_model_text(const struct i3d_model *model,
                                          const struct i3d_model_text *text)
{
    return (const char **)((char *)model + text->offset);
}

/* "float", "ints", … for the types that have a value of their own; null for
 * those that are kept raw. And back: 0 for a name that there is not. */
const char *i3d_attribute_type_name(enum i3d_attribute_type type);
enum i3d_attribute_type i3d_attribute_type_from_name(const char *name);
