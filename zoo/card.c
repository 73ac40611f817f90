/* The model card of an entry's products: YAML front matter in the form that
 * Hugging Face's hub reads (its "Model Cards" documentation), then Markdown. */
#include "zoo/catalogue_parts.h"

#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* The hub's licence identifiers are lower-case words; other texts are "other". */
static void put_licence(FILE *card, const char *licence)
{
    bool is_word = licence && *licence;
    for (const char *at = licence; at && *at; at++)
        is_word &= isalnum((unsigned char)*at) || strchr("-.", *at);
    if (!licence)
        return;
    fputs("license: ", card);
    if (is_word)
        for (const char *at = licence; *at; at++)
            putc(tolower((unsigned char)*at), card);
    else
        fputs("other", card);
    putc('\n', card);
    json_t *text = is_word ? NULL : json_string(licence);
    char *quoted = text ? json_dumps(text, JSON_ENCODE_ANY) : NULL; /* JSON is YAML too */
    if (quoted)
        fprintf(card, "license_name: %s\n", quoted);
    free(quoted);
    json_decref(text);
}

static void put_front_matter(FILE *card, const struct i3d_zoo_entry *entry, bool has_flow)
{
    fputs("---\n", card);
    put_licence(card, entry->licence);
    fputs("pipeline_tag: video-classification\ntags:\n- video\n- inflated-3d\n- i3dconv\n", card);
    if (has_flow)
        fputs("- optical-flow\n", card);
    if (entry->architecture)
        fprintf(card, "- %s\n", entry->architecture);
    fputs("---\n", card);
}

/* Markdown that means itself: special characters are escaped, lines joined. */
static void put_text(FILE *card, const char *text)
{
    for (; *text; text++) {
        if (strchr("\\`*_{}[]<>()#+!|~&", *text))
            putc('\\', card);
        putc((unsigned char)*text < ' ' ? ' ' : *text, card);
    }
}

static void put_fact(FILE *card, const char *name, const char *value)
{
    if (!value)
        return;
    fprintf(card, "- %s: ", name);
    put_text(card, value);
    putc('\n', card);
}

static void put_origin(FILE *card, const struct i3d_zoo_entry *entry)
{
    fputs("\n## Where the weights come from\n", card);
    put_fact(card, "checkpoint", entry->path);
    put_fact(card, "SHA-256", entry->sha256);
    put_fact(card, "architecture", entry->architecture);
    put_fact(card, "labels", entry->labels);
    put_fact(card, "source", entry->source);
    put_fact(card, "paper", entry->paper);
    put_fact(card, "licence", entry->licence);
    char *preprocessing =
        entry->preprocessing ? json_dumps(entry->preprocessing, JSON_SORT_KEYS) : NULL;
    if (preprocessing)
        fprintf(card, "\nInput is prepared as for the 2D network, each frame by itself:\n\n"
                      "```json\n%s\n```\n", preprocessing);
    free(preprocessing);
}

static void put_card(FILE *card, const struct i3d_zoo_entry *entry,
                     const struct i3d_exhibit *exhibits, size_t count)
{
    bool has_flow = false;
    for (size_t i = 0; i < count; i++)
        has_flow |= exhibits[i].done && !strcmp(exhibits[i].product->stream, "flow");
    put_front_matter(card, entry, has_flow);
    fprintf(card, "# %s, inflated to 3D\n\n", entry->name);
    fputs("A 2D image network whose kernels and pools were repeated along time and divided by "
          "their temporal size (Carreira and Zisserman, arXiv 1705.07750). It has not been "
          "trained on video.\n\n"
          "| file | recipe | stream | worst relative error | layers compared | SHA-256 |\n"
          "| --- | --- | --- | --- | --- | --- |\n", card);
    for (size_t i = 0; i < count; i++) {
        const struct i3d_product *product = exhibits[i].product;
        const struct i3d_product_state *result = &exhibits[i].result;
        const char *name = strchr(product->name, '/') + 1;
        if (exhibits[i].done)
            fprintf(card, "| [%s](%s) | %s | %s | %.1e | %lld | `%s` |\n", name, name,
                    product->recipe, product->stream, result->worst, (long long)result->layers,
                    result->sha256);
    }
    fputs("\nEach file was read back and run against the 2D network: on a video that repeats one "
          "image, with the first and last frame repeated beyond the ends, every layer gives the "
          "2D network's activations at every frame within the error above. Beside each lies its "
          "record (`.json`).\n", card);
    put_origin(card, entry);
}

enum i3d_status i3d_write_cards(const struct i3d_build *build, struct i3d_error *error)
{
    struct i3d_exhibit *exhibits = i3d_exhibits(build);
    if (!exhibits)
        return i3d_fail_memory(error);
    enum i3d_status status = I3D_OK;
    for (size_t first = 0, end; first < build->product_count && !status; first = end) {
        const struct i3d_zoo_entry *entry = exhibits[first].product->entry;
        bool done = false;
        for (end = first; end < build->product_count && exhibits[end].product->entry == entry;
             end++)
            done |= exhibits[end].done;
        struct i3d_page page;
        char *name;
        if (!done)
            continue;
        if (asprintf(&name, "%s/README.md", entry->name) < 0) {
            status = i3d_fail_memory(error);
            break;
        }
        i3d_page_open(&page);
        if (page.stream)
            put_card(page.stream, entry, exhibits + first, end - first);
        status = i3d_page_write(&page, build->options.product.folder, name, error);
        free(name);
    }
    free(exhibits);
    return status;
}
