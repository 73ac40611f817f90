#include "formats/onnx.pb-c.h"
#include "formats/onnx_read.h"
#include "formats/registry.h"
#include "model/index.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    LOWEST_OPSET = 6,
    /* Looking a key up is linear; no model has near as many. */
    MOST_ENTRIES = 10000,
};

bool i3d_onnx_recognise(const unsigned char *head, size_t head_length, uint64_t size)
{
    return i3d_onnx_head_fits(head, head_length, size);
}

static enum i3d_status read_opsets(const I3d__Onnx__ModelProto *proto, struct i3d_model *model,
                                   struct i3d_error *error)
{
    if (!proto->n_opset_import)
        return i3d_fail(error, I3D_MALFORMED, "it does not say which operator sets it uses");
    if (proto->n_opset_import > MOST_ENTRIES)
        return i3d_fail(error, I3D_UNSUPPORTED, "it imports %zu operator sets",
                        proto->n_opset_import);
    for (size_t i = 0; i < proto->n_opset_import; i++) {
        const I3d__Onnx__OperatorSetIdProto *opset = proto->opset_import[i];
        const char *domain;
        enum i3d_status status = i3d_onnx_string(model->arena, &opset->domain, &domain, error);
        if (status)
            return status;
        if (!i3d_set_opset(model, domain, opset->version))
            return i3d_fail_memory(error);
    }
    int64_t version = i3d_opset(model);
    if (version >= LOWEST_OPSET)
        return I3D_OK;
    if (!version)
        return i3d_fail(error, I3D_UNSUPPORTED, "it uses no operator set of ONNX's own");
    if (version < 0)
        return i3d_fail(error, I3D_MALFORMED, "its operator set has version %" PRId64, version);
    i3d_fail(error, I3D_UNSUPPORTED, "version %" PRId64 " of ONNX's operator set is too old",
             version);
    return i3d_error_hint(error, "convert it to version %d or later with onnx.version_converter",
                          LOWEST_OPSET);
}

static enum i3d_status read_time_axis(const char *text, struct i3d_model *model,
                                      struct i3d_error *error)
{
    char *end;
    long axis = strtol(text, &end, 10);
    if (!*text || *end || axis < -1 || axis >= I3D_MAX_RANK)
        return i3d_fail(error, I3D_MALFORMED, "metadata " I3D_ONNX_TIME_AXIS " is no axis: %s",
                        text);
    model->time_axis = (int)axis;
    return I3D_OK;
}

static enum i3d_status read_metadata(const I3d__Onnx__ModelProto *proto, struct i3d_model *model,
                                     bool *has_time_axis, struct i3d_error *error)
{
    if (proto->n_metadata_props > MOST_ENTRIES)
        return i3d_fail(error, I3D_UNSUPPORTED, "it has %zu entries of metadata",
                        proto->n_metadata_props);
    for (size_t i = 0; i < proto->n_metadata_props; i++) {
        const I3d__Onnx__StringStringEntryProto *entry = proto->metadata_props[i];
        const char *key, *value;
        enum i3d_status status = i3d_onnx_string(model->arena, &entry->key, &key, error);
        if (!status)
            status = i3d_onnx_string(model->arena, &entry->value, &value, error);
        if (status)
            return status;
        if (!strcmp(key, I3D_ONNX_TIME_AXIS)) {
            *has_time_axis = true;
            status = read_time_axis(value, model, error);
        } else if (!i3d_set_metadata(model, key, value)) {
            status = i3d_fail_memory(error);
        }
        if (status)
            return status;
    }
    return I3D_OK;
}

static enum i3d_status read_names(const I3d__Onnx__ModelProto *proto, struct i3d_model *model,
                                  struct i3d_error *error)
{
    const struct {
        const ProtobufCBinaryData *from;
        const char **to;
    } names[] = {
        { &proto->producer_name, &model->producer },
        { &proto->producer_version, &model->producer_version },
        { &proto->domain, &model->domain },
        { &proto->doc_string, &model->doc },
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        enum i3d_status status = i3d_onnx_string(model->arena, names[i].from, names[i].to, error);
        if (status)
            return status;
    }
    return I3D_OK;
}

static enum i3d_status fill_model(const I3d__Onnx__ModelProto *proto, struct i3d_model *model,
                                  bool *has_time_axis, struct i3d_error *error)
{
    if (proto->ir_version <= 0)
        return i3d_fail(error, I3D_MALFORMED, "it does not say which ONNX IR version it uses");
    model->ir_version = proto->ir_version;
    model->model_version = proto->model_version;
    enum i3d_status status = read_names(proto, model, error);
    if (!status)
        status = read_opsets(proto, model, error);
    if (!status)
        status = read_metadata(proto, model, has_time_axis, error);
    return status;
}

/* Before IR version 4 every initializer was a graph input too; later it may be
 * one, which makes it a default (ONNX's docs/IR.md). Either way the model has
 * its value from the tensor. */
static enum i3d_status drop_initialized_inputs(struct i3d_model *model, struct i3d_error *error)
{
    struct i3d_index *index = i3d_index_new(model);
    if (!index)
        return i3d_fail_memory(error);
    size_t kept = 0;
    for (size_t i = 0; i < model->input_count; i++)
        if (i3d_index_tensor(index, model->inputs[i].name) == I3D_NOWHERE)
            model->inputs[kept++] = model->inputs[i];
    model->input_count = kept;
    i3d_index_free(index);
    return I3D_OK;
}

static enum i3d_status read_parts(struct i3d_wire *wire, const struct i3d_onnx_parts *parts,
                                  struct i3d_model *model, struct i3d_error *error)
{
    I3d__Onnx__ModelProto *proto =
        i3d__onnx__model_proto__unpack(NULL, parts->decode.length, parts->decode.bytes);
    if (!proto)
        return i3d_onnx_undecoded(error, 0);
    bool has_time_axis = false;
    enum i3d_status status = fill_model(proto, model, &has_time_axis, error);
    i3d__onnx__model_proto__free_unpacked(proto, NULL);
    if (status)
        return status;

    if (parts->child_count != 1)
        return i3d_fail(error, I3D_MALFORMED, "it has %zu graphs where it needs one",
                        parts->child_count);
    status = i3d_onnx_keep(model->arena, parts->carry.bytes, parts->carry.length,
                           &model->unknown_model, error);
    if (!status)
        status = i3d_onnx_read_graph(wire, parts->children[0].begin, parts->children[0].end,
                                     model, error);
    if (!status)
        status = drop_initialized_inputs(model, error);
    /* N×C×T×H×W is what everyone's video networks take. */
    if (!status && !has_time_axis && model->input_count && model->inputs[0].rank == 5)
        model->time_axis = 2;
    return status;
}

enum i3d_status i3d_onnx_read(struct i3d_file *file, struct i3d_model *model,
                              struct i3d_error *error)
{
    struct i3d_wire wire;
    struct i3d_onnx_parts parts = { 0 };
    i3d_wire_init(&wire, file);
    wire.companions = i3d_companions_new(model->path);
    if (!wire.companions)
        return i3d_fail_memory(error);
    enum i3d_status status = i3d_onnx_check_nesting(&wire, error);
    if (!status)
        status = i3d_onnx_split(&wire, I3D_ONNX_MODEL, 0, i3d_file_size(file), &parts, error);
    if (!status)
        status = read_parts(&wire, &parts, model, error);
    i3d_onnx_parts_free(&parts);
    i3d_companions_free(wire.companions);
    return status;
}
