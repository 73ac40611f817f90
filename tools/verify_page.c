#include "tools/verify_page.h"

#include "formats/output.h"
#include "tools/verify_report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 1060, LEFT = 215, RIGHT = 20, CHART = 240, LOWEST = -9, HIGHEST = 1 };

static const char style[] =
    "text{font:11px system-ui,sans-serif;fill:#444}.t{font-weight:600;font-size:13px;fill:#111}"
    ".g{stroke:#e4e4e4}.tol{stroke:#c33;stroke-dasharray:5 4}.b{fill:#2563c9}.a{fill:#0d9488}"
    ".m{fill:#c2700c}.d{fill:#6d28d9}.x{fill:#d01c1c}";

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

/* Where an error stands on a logarithmic axis of that height. */
static double height_of(double error, double height)
{
    double place = error > 0 ? log10(error) : LOWEST;
    place = fmin(fmax(place, LOWEST), HIGHEST);
    return height * (HIGHEST - place) / (HIGHEST - LOWEST);
}

static void put_axis(FILE *out, double top, double height)
{
    for (int power = LOWEST; power <= HIGHEST; power += 2) {
        double y = top + height_of(pow(10, power), height);
        fprintf(out, "<line class='g' x1='%d' x2='%d' y1='%.1f' y2='%.1f'/>"
                     "<text x='%d' y='%.1f' text-anchor='end'>1e%d</text>\n",
                LEFT, WIDTH - RIGHT, y, y, LEFT - 8, y + 4, power);
    }
}

static void put_point(FILE *out, const struct i3d_layer_verdict *layer, double x, double top,
                      const char *series, const char *what, const struct i3d_finding *finding)
{
    if (!finding->judged)
        return;
    double error = isnan(finding->max_relative) ? INFINITY : finding->max_relative;
    fprintf(out, "<circle class='%s' cx='%.1f' cy='%.1f' r='%s'><title>",
            finding->good ? series : "x", x, top + height_of(error, CHART),
            finding->good ? "2.4" : "4");
    put_text(out, layer->name);
    fprintf(out, ": %s %.2e</title></circle>\n", what, finding->max_relative);
}

/* The relative error of every layer, by proof. */
static void put_errors(FILE *out, const struct i3d_proof *proof, double top)
{
    static const struct {
        const char *series, *title;
        int place;
    } legend[] = { { "a", "alone", 0 }, { "b", "with all ahead, edge padding", 70 },
                   { "m", "motion", 265 }, { "d", "clean frames as deployed", 340 },
                   { "x", "too large", 515 } };
    fprintf(out, "<text class='t' x='0' y='%.1f'>Relative error by layer, input to output</text>\n",
            top - 26);
    for (int k = 0; k < 5; k++)
        fprintf(out, "<circle class='%s' cx='%d' cy='%.1f' r='4'/><text x='%d' y='%.1f'>%s</text>\n",
                legend[k].series, LEFT + legend[k].place, top - 14, LEFT + 9 + legend[k].place,
                top - 10, legend[k].title);
    put_axis(out, top, CHART);
    double tolerance = top + height_of(proof->tolerance, CHART);
    fprintf(out, "<line class='tol' x1='%d' x2='%d' y1='%.1f' y2='%.1f'/>"
                 "<text x='%d' y='%.1f'>tolerance %.0e</text>\n",
            LEFT, WIDTH - RIGHT, tolerance, tolerance, LEFT + 4, tolerance - 4, proof->tolerance);
    double step = (double)(WIDTH - LEFT - RIGHT) / (double)(proof->layer_count + 1);
    for (size_t i = 0; i < proof->layer_count; i++) {
        const struct i3d_layer_verdict *layer = &proof->layers[i];
        double x = LEFT + step * (double)(i + 1);
        struct i3d_finding boring = { .judged = layer->judged, .good = layer->good,
                                      .max_relative = layer->max_relative };
        put_point(out, layer, x, top, "a", "alone", &layer->alone);
        put_point(out, layer, x, top, "b", "with all ahead", &boring);
        put_point(out, layer, x, top, "m", "in motion", &layer->motion);
        put_point(out, layer, x, top, "d", "clean frames", &layer->clean);
    }
}

/* Layers that have a row in the diagram: what windows or joins. */
static bool has_row(const struct i3d_layer_verdict *layer)
{
    static const char *const types[] = { "Conv", "ConvTranspose", "MaxPool", "AveragePool", "Concat",
                                         "Add", "Gemm", "MatMul", "Resize", "output" };
    for (size_t k = 0; k < sizeof types / sizeof types[0]; k++)
        if (!strcmp(layer->operation, types[k]))
            return layer->frames > 0;
    return false;
}

/* Green for a clean frame; from yellow to dark red the more a frame deviates. */
static void put_colour(FILE *out, const struct i3d_layer_verdict *layer, int64_t frame, bool clean)
{
    if (clean) {
        fputs("#3f9f5f", out);
        return;
    }
    double part = 0.35;
    if (layer->deviation && frame < layer->frames)
        part = 1 - height_of((double)layer->deviation[frame], 1) * 1.25;
    part = fmin(fmax(part, 0), 1);
    fprintf(out, "rgb(%d,%d,%d)", (int)(250 - 90 * part), (int)(215 - 190 * part),
            (int)(120 - 95 * part));
}

static double row_height(const struct i3d_proof *proof, size_t *rows)
{
    *rows = 0;
    for (size_t i = 0; i < proof->layer_count; i++)
        *rows += has_row(&proof->layers[i]);
    return *rows > 40 ? 7 : 12;
}

static double put_frames(FILE *out, const struct i3d_proof *proof, double top)
{
    size_t rows, row = 0;
    double height = row_height(proof, &rows), span = WIDTH - LEFT - RIGHT;
    fprintf(out, "<text class='t' x='0' y='%.1f'>Frames of each layer with zero padding, a clip of "
                 "%lld: green sees the clip alone%s</text>\n", top - 8, (long long)proof->frames,
            proof->ran_deployed ? "; yellow to red: how far the others deviate" : "");
    for (size_t i = 0; i < proof->layer_count; i++) {
        const struct i3d_layer_verdict *layer = &proof->layers[i];
        if (!has_row(layer))
            continue;
        double y = top + height * (double)row, each = span / (double)layer->frames;
        if (height > 8 || row % 4 == 0) {
            fprintf(out, "<text x='%d' y='%.1f' text-anchor='end'>", LEFT - 8, y + 8);
            char name[40];
            snprintf(name, sizeof name, "%.34s", layer->name);
            put_text(out, name);
            fputs("</text>\n", out);
        }
        for (int64_t t = 0; t < layer->frames; t++) {
            bool clean = layer->clean_count && t >= layer->clean_first && t <= layer->clean_last;
            fprintf(out, "<rect x='%.1f' y='%.1f' width='%.2f' height='%.1f' fill='",
                    LEFT + each * (double)t, y, fmax(each - 0.4, 0.3), height - 1);
            put_colour(out, layer, t, clean);
            fputs("'/>\n", out);
        }
        row++;
    }
    return top + height * (double)rows;
}

/* The last layer that has frames: the result, ahead of a mean over time. */
static const struct i3d_layer_verdict *last_with_frames(const struct i3d_proof *proof)
{
    for (size_t i = proof->layer_count; i-- > 0;)
        if (proof->layers[i].timed && proof->layers[i].deviation)
            return &proof->layers[i];
    return NULL;
}

static void put_deviation(FILE *out, const struct i3d_layer_verdict *layer)
{
    double span = WIDTH - LEFT - RIGHT, each = span / (double)layer->frames;
    fprintf(out, "<svg viewBox='0 0 %d %d' width='%d'><style>%s</style><text class='t' x='0' y='14'>"
                 "Deviation over frames as deployed: ", WIDTH, CHART + 66, WIDTH, style);
    put_text(out, layer->name);
    fputs("</text>\n", out);
    put_axis(out, 30, CHART);
    for (int64_t t = 0; t < layer->frames; t++) {
        double error = (double)layer->deviation[t], y = 30 + height_of(error, CHART);
        bool clean = layer->clean_count && t >= layer->clean_first && t <= layer->clean_last;
        fprintf(out, "<rect x='%.1f' y='%.1f' width='%.1f' height='%.1f' fill='",
                LEFT + each * (double)t + each * 0.15, y, each * 0.7, 30 + CHART - y);
        put_colour(out, layer, t, clean);
        fprintf(out, "'><title>frame %lld: %.2e</title></rect>\n", (long long)t, error);
        if (layer->frames <= 32)
            fprintf(out, "<text x='%.1f' y='%d' text-anchor='middle'>%lld</text>\n",
                    LEFT + each * ((double)t + 0.5), CHART + 46, (long long)t);
    }
    fputs("</svg>\n", out);
}

static void put_plot(FILE *out, const struct i3d_proof *proof)
{
    size_t rows;
    double height = row_height(proof, &rows) * (double)rows + CHART + 110;
    fprintf(out, "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %d %.0f' width='%d'>"
                 "<style>%s</style><rect width='100%%' height='100%%' fill='#fff'/>\n",
            WIDTH, height, WIDTH, style);
    put_errors(out, proof, 40);
    put_frames(out, proof, CHART + 85);
    fputs("</svg>\n", out);
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

static void put_page(FILE *out, const struct i3d_proof *proof, const char *flat,
                     const char *inflated)
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
    put_plot(out, proof);
    if (last_with_frames(proof))
        put_deviation(out, last_with_frames(proof));
    fputs("<table><tr><th>layer<th>operator<th>shape<th>weights<th>alone<th>relative<th>motion"
          "<th>clean<th>elsewhere<th>note</tr>\n", out);
    for (size_t i = 0; i < proof->layer_count; i++)
        put_row(out, &proof->layers[i]);
    fputs("</table></html>\n", out);
}

/* Writes what was printed into memory. */
static enum i3d_status save(FILE *out, char **text, const size_t *length, const char *path,
                            struct i3d_error *error)
{
    bool good = !ferror(out);
    good = !fclose(out) && good;
    enum i3d_status status =
        good ? i3d_output_put(path, *text, *length, error) : i3d_fail_memory(error);
    free(*text);
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
    put_page(out, proof, flat, inflated);
    return save(out, &text, &length, path, error);
}

enum i3d_status verify_write_plot(const struct i3d_proof *proof, const char *path,
                                  struct i3d_error *error)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    if (!out)
        return i3d_fail_memory(error);
    put_plot(out, proof);
    return save(out, &text, &length, path, error);
}
