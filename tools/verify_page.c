#include "tools/verify_page.h"

#include "formats/output.h"
#include "tools/verify_plot.h"
#include "tools/verify_report.h"

#include <stdio.h>
#include <stdlib.h>

/* Text from a file, safe in HTML and XML. */
static void put_text(FILE *out, const char *text)
{
    char printable[512];
    for (const char *c = i3d_printable(text ? text : "", printable, sizeof printable); *c; c++)
        switch (*c) {
        case '&': fputs("&amp;", out); break;
        case '<': fputs("&lt;", out); break;
        case '>': fputs("&gt;", out); break;
        case '"': fputs("&quot;", out); break;
        default: fputc(*c, out);
        }
}

static void put_finding(FILE *out, const struct i3d_finding *finding)
{
    if (finding->judged)
        fprintf(out, "<td class='%s'>%.1e</td>", finding->good ? "" : "bad", finding->max_relative);
    else
        fputs("<td>–</td>", out);
}

static void put_row(FILE *out, const struct i3d_layer_verdict *layer)
{
    char shape[64];
    struct i3d_finding boring = { .judged = layer->judged, .good = layer->good,
                                  .max_relative = layer->max_relative };
    fputs("<tr><td>", out);
    put_text(out, layer->name);
    fprintf(out, "</td><td>%s</td><td>%s</td><td class='%s'>%s</td>", layer->operation,
            i3d_shape_string(layer->rank, layer->dims, shape, sizeof shape),
            layer->audit_good ? "" : "bad",
            !layer->has_weights && layer->audit_good ? "–" : layer->audit_good ? "equal" : "differ");
    put_finding(out, &layer->alone);
    put_finding(out, &boring);
    put_finding(out, &layer->motion);
    put_finding(out, &layer->clean);
    put_finding(out, &layer->spoilt);
    fputs("<td>", out);
    put_text(out, layer->audit_note);
    fputs("</td></tr>\n", out);
}

static enum i3d_status put_page(FILE *out, const struct i3d_proof *proof, const char *flat,
                                const char *inflated, struct i3d_error *error)
{
    char text[1024], reason[1024];
    fputs("<!DOCTYPE html><html lang='en'><meta charset='utf-8'><title>i3dconv verify</title><style>"
          "body{font:15px/1.5 system-ui,sans-serif;color:#222;max-width:1080px;margin:2em auto;"
          "padding:0 1em}h1{font-size:1.4em}code{background:#f2f2f2;padding:0 .3em}"
          ".v{border-left:6px solid #3f9f5f;background:#f4faf6;padding:.6em 1em;margin:.6em 0}"
          ".v.bad{border-color:#d01c1c;background:#fdf3f3}.v.none{border-color:#999;background:#f6f6f6}"
          "svg{display:block;margin:1.6em 0;max-width:100%}table{border-collapse:collapse;"
          "font-size:12px}td,th{padding:2px 8px;border-bottom:1px solid #e6e6e6;text-align:left}"
          "td.bad{color:#d01c1c;font-weight:600}</style><h1>", out);
    fprintf(out, "%s: <code>", proof->good ? "Passed" : "Failed");
    put_text(out, inflated);
    fputs("</code> against <code>", out);
    put_text(out, flat);
    fprintf(out, "</code></h1><div class='v%s'><b>Weights %s.</b> ", proof->weights_good ? "" : " bad",
            proof->weights_good ? "pass" : "fail");
    struct verify_totals totals = verify_total(proof);
    fprintf(out, "%zu layers audited%s%s", totals.weighted, *proof->recipe ? ", recipe " : "",
            proof->recipe);
    if (proof->ran_boring)
        fprintf(out, "; boring video within %.1e, layers alone within %.1e", totals.worst_boring,
                totals.worst_alone);
    if (proof->ran_motion)
        fprintf(out, "; motion within %.1e", totals.worst_motion);
    fputs(". ", out);
    if (proof->first_bad >= 0) {
        fputs("First at <code>", out);
        put_text(out, proof->layers[proof->first_bad].name);
        fputs("</code>: ", out);
    }
    put_text(out, verify_reason(proof, reason, sizeof reason));
    fprintf(out, "</div><div class='v%s'><b>As deployed%s.</b> ",
            !proof->ran_deployed ? " none" : proof->deployed_good ? "" : " bad",
            !proof->ran_deployed ? ", told from the graph" : proof->deployed_good ? ": pass" : ": fail");
    put_text(out, verify_deployed(proof, text, sizeof text));
    if (proof->ran_deployed)
        fprintf(out, "; clean frames within %.1e, others off by up to %.1e", totals.worst_clean,
                totals.worst_spoilt);
    fputs(".</div>\n", out);
    enum i3d_status status = verify_put_plot(proof, out, error);
    fputs("<table><tr><th>layer<th>operator<th>shape<th>weights<th>alone<th>relative<th>motion"
          "<th>clean<th>elsewhere<th>note</tr>\n", out);
    for (size_t i = 0; i < proof->layer_count; i++)
        put_row(out, &proof->layers[i]);
    fputs("</table></html>\n", out);
    return status;
}

enum i3d_status verify_write_page(const struct i3d_proof *proof, const char *flat,
                                  const char *inflated, const char *path, struct i3d_error *error)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    if (!out)
        return i3d_fail_memory(error);
    enum i3d_status status = put_page(out, proof, flat, inflated, error);
    bool good = !ferror(out);
    good = !fclose(out) && good;
    if (!status)
        status = good ? i3d_output_put(path, text, length, error) : i3d_fail_memory(error);
    free(text);
    return status;
}
