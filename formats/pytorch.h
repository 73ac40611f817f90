/* What the reader and the writer of PyTorch's files share. */
#pragma once

#include "formats/zip.h"
#include "model/model.h"

/* Metadata: under which key of the outer dictionary the state_dict stands, if it does. */
extern const char I3D_PYTORCH_KEY[];
/* The member, behind the archive's folder, that holds the model's metadata as JSON; other
 * programs do not look at it. */
extern const char I3D_PYTORCH_METADATA[];

/* Whether the archive's first member is one of PyTorch's. */
bool i3d_pytorch_is_member(const char *name);
