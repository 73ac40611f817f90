/* What each container's file gives to the table in formats.c; the signatures
 * and contracts are those of struct i3d_format. */
#pragma once

#include "formats/formats.h"

bool i3d_safetensors_recognise(const unsigned char *head, size_t head_length, uint64_t size);
enum i3d_status i3d_safetensors_read(struct i3d_file *file, struct i3d_model *model,
                                     struct i3d_error *error);
enum i3d_status i3d_safetensors_write(const struct i3d_model *model, struct i3d_output *output,
                                      struct i3d_error *error);

bool i3d_safetensors_index_recognise(const unsigned char *head, size_t head_length,
                                     uint64_t size);
enum i3d_status i3d_safetensors_index_read(struct i3d_file *file, struct i3d_model *model,
                                           struct i3d_error *error);
enum i3d_status i3d_safetensors_index_write(const struct i3d_model *model,
                                            struct i3d_output *output, struct i3d_error *error);

bool i3d_npy_recognise(const unsigned char *head, size_t head_length, uint64_t size);
enum i3d_status i3d_npy_read(struct i3d_file *file, struct i3d_model *model,
                             struct i3d_error *error);
enum i3d_status i3d_npy_write(const struct i3d_model *model, struct i3d_output *output,
                              struct i3d_error *error);

bool i3d_npz_recognise(const unsigned char *head, size_t head_length, uint64_t size);
enum i3d_status i3d_npz_read(struct i3d_file *file, struct i3d_model *model,
                             struct i3d_error *error);
enum i3d_status i3d_npz_write(const struct i3d_model *model, struct i3d_output *output,
                              struct i3d_error *error);

bool i3d_pytorch_recognise(const unsigned char *head, size_t head_length, uint64_t size);
enum i3d_status i3d_pytorch_read(struct i3d_file *file, struct i3d_model *model,
                                 struct i3d_error *error);
enum i3d_status i3d_pytorch_write(const struct i3d_model *model, struct i3d_output *output,
                                  struct i3d_error *error);

bool i3d_hdf5_recognise(const unsigned char *head, size_t head_length, uint64_t size);
enum i3d_status i3d_hdf5_read(struct i3d_file *file, struct i3d_model *model,
                              struct i3d_error *error);
enum i3d_status i3d_hdf5_write(const struct i3d_model *model, struct i3d_output *output,
                               struct i3d_error *error);

bool i3d_onnx_recognise(const unsigned char *head, size_t head_length, uint64_t size);
enum i3d_status i3d_onnx_read(struct i3d_file *file, struct i3d_model *model,
                              struct i3d_error *error);
enum i3d_status i3d_onnx_write(const struct i3d_model *model, struct i3d_output *output,
                               struct i3d_error *error);

/* ONNX with the elements of its larger tensors in a second file, which is read as ONNX. */
bool i3d_onnx_external_recognise(const unsigned char *head, size_t head_length, uint64_t size);
enum i3d_status i3d_onnx_external_write(const struct i3d_model *model,
                                        struct i3d_output *output, struct i3d_error *error);

/* Keras 3's .keras; and the file of weights alone that goes with a network, which is read
 * as HDF5. */
bool i3d_keras_recognise(const unsigned char *head, size_t head_length, uint64_t size);
enum i3d_status i3d_keras_read(struct i3d_file *file, struct i3d_model *model,
                               struct i3d_error *error);
enum i3d_status i3d_keras_write(const struct i3d_model *model, struct i3d_output *output,
                                struct i3d_error *error);
bool i3d_keras_weights_recognise(const unsigned char *head, size_t head_length, uint64_t size);
enum i3d_status i3d_keras_weights_write(const struct i3d_model *model, struct i3d_output *output,
                                        struct i3d_error *error);

/* TensorFlow's checkpoints, which end in what tells them. */
bool i3d_tf_recognise_end(const unsigned char *tail, size_t length, uint64_t size);
enum i3d_status i3d_tf_read(struct i3d_file *file, struct i3d_model *model,
                            struct i3d_error *error);
/* How a user names a checkpoint of several files: by the prefix of their names, or by the
 * folder whose file "checkpoint" says which is the latest. *found: the file to open, malloc'ed;
 * null: path itself. */
enum i3d_status i3d_tf_find(const char *path, char **found, struct i3d_error *error);
