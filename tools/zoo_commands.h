/* The commands of i3dconv zoo: one function each, argv[0] being the command's name. */
#pragma once

#include "tools/tool.h"
#include "zoo/manifest.h"
#include "zoo/product.h"

int zoo_synth(int argc, char **argv);
int zoo_init(int argc, char **argv);
int zoo_add(int argc, char **argv);
int zoo_list(int argc, char **argv);
int zoo_show(int argc, char **argv);
int zoo_search(int argc, char **argv);
int zoo_check(int argc, char **argv);
int zoo_make(int argc, char **argv);
int zoo_build(int argc, char **argv);
