/* ZIP archives by libzip: PyTorch's, NumPy's and Keras' files are such.
 * (PKWARE, APPNOTE.TXT, ".ZIP File Format Specification") */
#pragma once

#include "formats/output.h"
#include "model/source.h"

struct i3d_zip;

/* Whether a file starts as an archive with members does. */
bool i3d_zip_recognise(const unsigned char *head, size_t head_length);
/* The name of the member at its start; false if there is none or it has no room. */
bool i3d_zip_first_name(const unsigned char *head, size_t head_length, char *name, size_t size);

/* Lists the members of the archive in file, which is retained. Broken archives and
 * names that stand twice are I3D_MALFORMED. */
enum i3d_status i3d_zip_open(struct i3d_file *file, struct i3d_zip **zip, struct i3d_error *error);
struct i3d_zip *i3d_zip_retain(struct i3d_zip *zip);
void i3d_zip_release(struct i3d_zip *zip);

size_t i3d_zip_count(const struct i3d_zip *zip);
const char *i3d_zip_name(const struct i3d_zip *zip, size_t member);
/* Bytes of the member when it is unpacked. */
uint64_t i3d_zip_size(const struct i3d_zip *zip, size_t member);
/* The member of that name, or -1. */
int64_t i3d_zip_find(const struct i3d_zip *zip, const char *name);

/* Bytes [offset, offset + length) of a member as a source, which retains the archive;
 * null if the member is shorter or memory is short. The checksum is verified when a
 * member is read from near its start to its end. Any thread may read it. */
struct i3d_source *i3d_zip_source(struct i3d_zip *zip, size_t member, uint64_t offset,
                                  uint64_t length);
/* Where in the file the bytes of a member begin that is stored as it is; false for one that is
 * compressed, encrypted or empty. Whoever reads them there has to read the member's source
 * to its end too: that compares the checksum. */
bool i3d_zip_place(struct i3d_zip *zip, size_t member, uint64_t *offset);
/* A whole member: malloc'ed, with a NUL behind it. I3D_MALFORMED if it is longer than
 * most bytes. */
enum i3d_status i3d_zip_load(struct i3d_zip *zip, size_t member, uint64_t most, char **bytes,
                             size_t *length, struct i3d_error *error);

/* An archive in the making. Members are stored, not compressed, and all carry the first
 * date that the format knows, so that equal members make equal archives. */
struct i3d_zip_writer;

enum i3d_status i3d_zip_writer_new(struct i3d_output *output, struct i3d_zip_writer **writer,
                                   struct i3d_error *error);
/* Adds a member whose bytes start at a multiple of I3D_ZIP_ALIGNMENT in the file, so
 * that it can be mapped. Takes the source's reference over, also on failure (a null
 * source is a failure of memory). Bytes are read when the archive is finished. */
enum { I3D_ZIP_ALIGNMENT = 64 };
enum i3d_status i3d_zip_put(struct i3d_zip_writer *writer, const char *name,
                            struct i3d_source *source, struct i3d_error *error);
/* Writes it all; the output is the caller's to commit. */
enum i3d_status i3d_zip_finish(struct i3d_zip_writer *writer, struct i3d_error *error);
/* Null is fine; before or after finishing. */
void i3d_zip_writer_free(struct i3d_zip_writer *writer);
