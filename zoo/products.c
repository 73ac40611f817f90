/* Which products a manifest asks for. */
#include "zoo/product.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct list {
    struct i3d_product *products;
    size_t count, room;
};

static enum i3d_status add(struct list *list, const struct i3d_product *product,
                           struct i3d_error *error)
{
    if (list->count == list->room) {
        size_t room = list->room ? 2 * list->room : 64;
        struct i3d_product *grown = realloc(list->products, room * sizeof *grown);
        if (!grown)
            return i3d_fail_memory(error);
        list->products = grown;
        list->room = room;
    }
    const char *suffix = product->format->suffixes, *dialect = "", *point = "";
    if (product->dialect) {
        dialect = product->dialect->name;
        point = ".";
    }
    char *name;
    if (asprintf(&name, "%s/%s-%s%s%s%.*s", product->entry->name, product->recipe,
                 product->stream, point, dialect, (int)strcspn(suffix, " "), suffix) < 0)
        return i3d_fail_memory(error);
    list->products[list->count] = *product;
    list->products[list->count++].name = name;
    return I3D_OK;
}

static enum i3d_status add_dialects(struct list *list, struct i3d_product *product,
                                    struct i3d_error *error)
{
    const char *const *names = (const char *const *)product->entry->dialects;
    product->dialect = NULL;
    if (!*names || product->format->needs_graph)
        return add(list, product, error);
    for (; *names; names++) {
        product->dialect = i3d_dialect_by_name(*names);
        if (!product->dialect)
            return i3d_fail(error, I3D_MALFORMED, "there is no dialect %s", *names);
        enum i3d_status status = add(list, product, error);
        if (status)
            return status;
    }
    return I3D_OK;
}

static enum i3d_status add_containers(struct list *list, struct i3d_product *product,
                                      struct i3d_error *error)
{
    static const char *const usual[] = { "onnx", NULL };
    const char *const *names = (const char *const *)product->entry->containers;
    for (names = *names ? names : usual; *names; names++) {
        product->format = i3d_format_by_name(*names);
        if (!product->format)
            return i3d_fail(error, I3D_MALFORMED, "there is no container %s", *names);
        if (product->format->has_companions)
            return i3d_fail(error, I3D_UNSUPPORTED,
                            "container %s is more than one file, and a product is one", *names);
        enum i3d_status status = add_dialects(list, product, error);
        if (status)
            return status;
    }
    return I3D_OK;
}

static enum i3d_status add_streams(struct list *list, struct i3d_product *product,
                                   struct i3d_error *error)
{
    static const char *const usual[] = { "rgb", NULL };
    const char *const *names = (const char *const *)product->entry->streams;
    for (names = *names ? names : usual; *names; names++) {
        if (strcmp(*names, "rgb") && strcmp(*names, "flow"))
            return i3d_fail(error, I3D_MALFORMED, "there is no stream %s", *names);
        product->stream = *names;
        enum i3d_status status = add_containers(list, product, error);
        if (status)
            return status;
    }
    return I3D_OK;
}

static enum i3d_status add_entry(struct list *list, const struct i3d_zoo_entry *entry,
                                 struct i3d_error *error)
{
    static const char *const i3d[] = { "i3d", NULL }, *const isotropic[] = { "isotropic", NULL };
    bool is_inception =
        entry->architecture && !strncmp(entry->architecture, "inception_v1", 12);
    struct i3d_product product = { .entry = entry };
    const char *const *names = (const char *const *)entry->recipes;
    for (names = *names ? names : is_inception ? i3d : isotropic; *names; names++) {
        product.recipe = *names;
        enum i3d_status status = add_streams(list, &product, error);
        if (status)
            return i3d_error_where(error, "entry %s", entry->name);
    }
    return I3D_OK;
}

enum i3d_status i3d_products_list(const struct i3d_manifest *manifest,
                                  struct i3d_product **products, size_t *count,
                                  struct i3d_error *error)
{
    struct list list = { 0 };
    enum i3d_status status = I3D_OK;
    for (size_t i = 0; i < manifest->entry_count && !status; i++)
        status = add_entry(&list, &manifest->entries[i], error);
    if (status) {
        i3d_products_free(list.products, list.count);
        list = (struct list){ 0 };
        i3d_error_file(error, manifest->path);
    }
    *products = list.products;
    *count = list.count;
    return status;
}

void i3d_products_free(struct i3d_product *products, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(products[i].name);
    free(products);
}
