#include "zoo/catalogue_parts.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char head[] =
    "<!DOCTYPE html>\n"
    "<html lang=\"en\">\n"
    "<head>\n"
    "<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<style>\n"
    ":root { color-scheme: light dark; --line: #8884; --good: #1a7f37; --bad: #cf222e; }\n"
    "body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto;\n"
    "       padding: 0 1rem; }\n"
    "h1 { font-size: 1.6rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin: 0; }\n"
    "input { font: inherit; width: 100%; padding: .5rem; box-sizing: border-box;\n"
    "        margin: 1rem 0; border: 1px solid var(--line); border-radius: 6px; }\n"
    "section { border: 1px solid var(--line); border-radius: 8px; padding: 1rem;\n"
    "          margin: 1rem 0; }\n"
    "dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem; margin: .5rem 0; }\n"
    "dt, .name { opacity: .65; } dd { margin: 0; overflow-wrap: anywhere; }\n"
    "table { border-collapse: collapse; width: 100%; table-layout: fixed; }\n"
    "td, th { text-align: left; padding: .3rem .6rem .3rem 0; vertical-align: bottom;\n"
    "         border-top: 1px solid var(--line); overflow-wrap: anywhere; }\n"
    "th { opacity: .65; font-weight: normal; } th:first-child { width: 40%; }\n"
    "td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }\n"
    "tr.detail td { border-top: 0; padding-top: 0; }\n"
    "section > table { margin-bottom: -.5rem; }\n"
    "code { font-size: .85em; overflow-wrap: anywhere; }\n"
    "img { image-rendering: pixelated; max-width: 100%; display: block; margin: .3rem 0; }\n"
    ".badge { color: #fff; border-radius: 4px; padding: .05rem .45rem; font-size: .8rem;\n"
    "         font-weight: 600; white-space: nowrap; }\n"
    ".pass { background: var(--good); } .fail { background: var(--bad); }\n"
    ".absent { background: #777; }\n"
    "</style>\n";

static const char script[] =
    "<script>\n"
    "document.getElementById('words').addEventListener('input', function () {\n"
    "  const words = this.value.toLowerCase().split(/\\s+/).filter(Boolean);\n"
    "  for (const part of document.querySelectorAll('section')) {\n"
    "    const text = part.textContent.toLowerCase();\n"
    "    part.hidden = !words.every(word => text.includes(word));\n"
    "  }\n"
    "});\n"
    "</script>\n";

/* Text for HTML; control characters, which it may not hold, become spaces. */
static void put_text(FILE *page, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '&': fputs("&amp;", page); break;
        case '<': fputs("&lt;", page); break;
        case '>': fputs("&gt;", page); break;
        case '"': fputs("&quot;", page); break;
        default: putc((unsigned char)*text < ' ' ? ' ' : *text, page);
        }
    }
}

static void put_fact(FILE *page, const char *name, const char *value)
{
    if (!value)
        return;
    fprintf(page, "<dt>%s</dt><dd>", name);
    put_text(page, value);
    fputs("</dd>\n", page);
}

/* A link only where it leads to the web: a manifest may say anything. */
static void put_source(FILE *page, const char *source)
{
    bool is_link = source && (!strncmp(source, "https://", 8) || !strncmp(source, "http://", 7));
    if (!is_link) {
        put_fact(page, "source", source);
        return;
    }
    fputs("<dt>source</dt><dd><a href=\"", page);
    put_text(page, source);
    fputs("\">", page);
    put_text(page, source);
    fputs("</a></dd>\n", page);
}

static void put_facts(FILE *page, const struct i3d_zoo_entry *entry)
{
    char number[32];
    fputs("<dl>\n", page);
    put_fact(page, "architecture", entry->architecture);
    put_fact(page, "file", entry->path);
    put_fact(page, "container", entry->container);
    put_fact(page, "dialect", entry->dialect);
    if (entry->classes >= 0) {
        snprintf(number, sizeof number, "%lld", (long long)entry->classes);
        put_fact(page, "classes", number);
    }
    put_fact(page, "labels", entry->labels);
    put_fact(page, "licence", entry->licence);
    put_source(page, entry->source);
    put_fact(page, "paper", entry->paper);
    if (entry->sha256) {
        fputs("<dt>SHA-256</dt><dd><code>", page);
        put_text(page, entry->sha256);
        fputs("</code></dd>\n", page);
    }
    fputs("</dl>\n", page);
}

/* Networks that do not begin with a convolution have no picture. */
static bool has_picture(const struct i3d_build *build, const struct i3d_product *product)
{
    char *path;
    if (asprintf(&path, "%s/%s.png", build->options.product.folder, product->name) < 0)
        return false;
    bool found = !access(path, F_OK);
    free(path);
    return found;
}

/* Names of products hold letters, digits and ._-/ only, so they need no escape. */
static void put_product(FILE *page, const struct i3d_build *build,
                        const struct i3d_exhibit *exhibit)
{
    const struct i3d_product *product = exhibit->product;
    const char *name = strchr(product->name, '/') + 1;
    char size[32];
    if (!exhibit->done) {
        fprintf(page, "<tr><td>%s</td><td colspan=\"4\"><span class=\"badge %s\">%s</span> ", name,
                exhibit->reason ? "fail" : "absent", exhibit->reason ? "FAILED" : "not made");
        put_text(page, exhibit->reason ? exhibit->reason : "");
        fputs("</td></tr>\n", page);
        return;
    }
    const struct i3d_product_state *result = &exhibit->result;
    fprintf(page,
            "<tr><td><a href=\"%s\">%s</a></td><td><span class=\"badge pass\">PASS</span></td>"
            "<td class=\"number\">%.1e</td><td class=\"number\">%lld</td>"
            "<td class=\"number\">%s</td></tr>\n<tr class=\"detail\"><td colspan=\"5\">",
            product->name, name, result->worst, (long long)result->layers,
            i3d_size_text(result->bytes, size, sizeof size));
    if (has_picture(build, product))
        fprintf(page, "<img loading=\"lazy\" alt=\"first-layer filters, a row for each time "
                      "step\" src=\"%s.png\">", product->name);
    fprintf(page, "<span class=\"name\">SHA-256</span> <code>%s</code></td></tr>\n",
            result->sha256);
}

static void put_entry(FILE *page, const struct i3d_build *build,
                      const struct i3d_zoo_entry *entry, const struct i3d_exhibit *exhibits,
                      size_t count)
{
    fprintf(page, "<section id=\"%s\">\n<h2>%s</h2>\n", entry->name, entry->name);
    put_facts(page, entry);
    fputs("<table>\n<tr><th>product</th><th>verdict</th><th class=\"number\">worst relative "
          "error</th><th class=\"number\">layers</th><th class=\"number\">size</th></tr>\n", page);
    for (size_t i = 0; i < count; i++)
        put_product(page, build, &exhibits[i]);
    fputs("</table>\n</section>\n", page);
}

static void put_page(FILE *page, const struct i3d_build *build,
                     const struct i3d_exhibit *exhibits)
{
    size_t done = 0, failed = 0, total = build->product_count;
    for (size_t i = 0; i < total; i++) {
        done += exhibits[i].done;
        failed += exhibits[i].reason != NULL;
    }
    const char *title = i3d_manifest_name(build->manifest);
    fputs(head, page);
    fputs("<title>", page);
    put_text(page, title);
    fputs("</title>\n</head>\n<body>\n<h1>", page);
    put_text(page, title);
    fprintf(page,
            "</h1>\n<p>%zu checkpoints; %zu of %zu products inflated and verified, %zu failed. "
            "Made by i3dconv " PACKAGE_VERSION ".</p>\n"
            "<input id=\"words\" type=\"search\" placeholder=\"words to search for\" "
            "aria-label=\"words to search for\">\n",
            build->manifest->entry_count, done, total, failed);
    for (size_t first = 0, end; first < total; first = end) {
        const struct i3d_zoo_entry *entry = exhibits[first].product->entry;
        for (end = first; end < total && exhibits[end].product->entry == entry;)
            end++;
        put_entry(page, build, entry, exhibits + first, end - first);
    }
    fputs(script, page);
    fputs("</body>\n</html>\n", page);
}

enum i3d_status i3d_write_catalogue(const struct i3d_build *build, struct i3d_error *error)
{
    struct i3d_page page;
    struct i3d_exhibit *exhibits = i3d_exhibits(build);
    if (!exhibits)
        return i3d_fail_memory(error);
    i3d_page_open(&page);
    if (page.stream)
        put_page(page.stream, build, exhibits);
    free(exhibits);
    return i3d_page_write(&page, build->options.product.folder, "index.html", error);
}
