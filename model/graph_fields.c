#include "model/graph_fields.h"

#include <string.h>

const struct i3d_model_text i3d_model_texts[] = {
    { "name", offsetof(struct i3d_model, name) },
    { "doc", offsetof(struct i3d_model, doc) },
    { "producer", offsetof(struct i3d_model, producer) },
    { "producer_version", offsetof(struct i3d_model, producer_version) },
    { "domain", offsetof(struct i3d_model, domain) },
    { NULL, 0 },
};

static const struct {
    enum i3d_attribute_type type;
    const char *name;
} attribute_types[] = {
    { I3D_ATTRIBUTE_FLOAT, "float" },   { I3D_ATTRIBUTE_INT, "int" },
    { I3D_ATTRIBUTE_STRING, "string" }, { I3D_ATTRIBUTE_TENSOR, "tensor" },
    { I3D_ATTRIBUTE_FLOATS, "floats" }, { I3D_ATTRIBUTE_INTS, "ints" },
    { I3D_ATTRIBUTE_STRINGS, "strings" },
};
enum { ATTRIBUTE_TYPES = sizeof attribute_types / sizeof attribute_types[0] };

const char *i3d_attribute_type_name(enum i3d_attribute_type type)
{
    for (int i = 0; i < ATTRIBUTE_TYPES; i++)
        if (attribute_types[i].type == type)
            return attribute_types[i].name;
    return NULL;
}

enum i3d_attribute_type i3d_attribute_type_from_name(const char *name)
{
    for (int i = 0; i < ATTRIBUTE_TYPES; i++)
        if (!strcmp(attribute_types[i].name, name))
            return attribute_types[i].type;
    return 0;
}
