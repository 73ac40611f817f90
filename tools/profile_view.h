/* A profile as a table or as JSON. */
#pragma once

#include "tools/tool.h"
#include "verify/profile.h"

void profile_print_table(const struct i3d_profile *profile);
enum i3d_status profile_print_json(const struct i3d_profile *profile, struct i3d_error *error);
