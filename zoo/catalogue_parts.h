/* What the catalogue and the cards share; not installed. */
#pragma once

#include "zoo/catalogue.h"

#include <stdio.h>

/* A product and how it stands. */
struct i3d_exhibit {
    const struct i3d_product *product;
    bool done;
    struct i3d_product_state result; /* where it is done */
    const char *reason;              /* where it failed in this build, or null */
};

/* The build's products in order, malloc'ed; null when memory is short. */
struct i3d_exhibit *i3d_exhibits(const struct i3d_build *build);

/* Text that is gathered in memory and then written to FOLDER/NAME. */
struct i3d_page {
    FILE *stream; /* null: memory was short */
    char *text;
    size_t length;
};
void i3d_page_open(struct i3d_page *page);
enum i3d_status i3d_page_write(struct i3d_page *page, const char *folder, const char *name,
                               struct i3d_error *error);

/* "48.7 MB" */
const char *i3d_size_text(uint64_t bytes, char *text, size_t size);
