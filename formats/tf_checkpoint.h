/* What both kinds of TensorFlow checkpoint share. */
#pragma once

#include "formats/message.h"
#include "formats/table.h"
#include "model/model.h"

/* A part of a variable (TensorSliceProto): length -1 is the whole axis. */
struct i3d_tf_slice {
    int rank;
    int64_t start[I3D_MAX_RANK], length[I3D_MAX_RANK];
};

/* A variable as a checkpoint describes it. name is malloc'ed. */
struct i3d_tf_variable {
    char *name;
    int type; /* tensorflow.DataType */
    int rank;
    int64_t dims[I3D_MAX_RANK];
    struct i3d_tf_slice *slices; /* malloc'ed; none: it is stored whole */
    size_t slice_count;
};

enum { I3D_TF_STRING = 7 };

void i3d_tf_variable_free(struct i3d_tf_variable *variable);
/* The element type, or I3D_UNDEFINED. */
enum i3d_dtype i3d_tf_dtype(int type);
/* TensorShapeProto and TensorSliceProto; a slice is added to the variable's. */
enum i3d_status i3d_tf_read_shape(struct i3d_message shape, struct i3d_tf_variable *variable,
                                  struct i3d_error *error);
enum i3d_status i3d_tf_add_slice(struct i3d_message slice, struct i3d_tf_variable *variable,
                                 struct i3d_error *error);
/* Checks type and shape; the slices get their lengths and have to cover the variable,
 * each element once. */
enum i3d_status i3d_tf_check(struct i3d_tf_variable *variable, struct i3d_error *error);
/* The key under which a part is stored: malloc'ed, or null when memory is short. whole:
 * the variable, whose axes are written as such. */
unsigned char *i3d_tf_slice_key(const struct i3d_tf_variable *whole,
                                const struct i3d_tf_slice *slice, size_t *length);
/* One source of all parts' sources, which are retained; null when memory is short. */
struct i3d_source *i3d_tf_join(const struct i3d_tf_variable *variable,
                               struct i3d_source *const *parts);

/* What a checkpoint holds besides the network: optimizers' slots of variables that are
 * there too, what counts the saves, and text. passed_over gets one flag each. */
enum i3d_status i3d_tf_pass_over(const struct i3d_tf_variable *variables, size_t count,
                                 bool *passed_over, struct i3d_error *error);
/* The name that a tensor gets: without what tf.train.Checkpoint puts behind. */
void i3d_tf_strip(char *name);

enum i3d_status i3d_tf_read_v2(struct i3d_file *file, struct i3d_table *table,
                               struct i3d_model *model, struct i3d_error *error);
/* Takes over the table, also on failure: tensors are read from it. */
enum i3d_status i3d_tf_read_v1(struct i3d_table *table, struct i3d_model *model,
                               struct i3d_error *error);
