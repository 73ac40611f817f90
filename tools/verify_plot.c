#include "tools/verify_plot.h"

#include "formats/output.h"
#include "model/base64.h"

#include <cairo-svg.h>
#include <cairo.h>
#include <fontconfig/fontconfig.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { WIDTH = 1080, LEFT = 216, RIGHT = 24, CHART = 250, LOWEST = -9, HIGHEST = 1, NAMES = 92 };
enum { SPAN = WIDTH - LEFT - RIGHT, MOST_ROWS = 240, LONGEST_NAME = 200 };
enum { SHARPNESS = 2 }; /* pixels of a PNG by unit */
static const double LANE = 16; /* below the logarithmic axis, for what is equal */

enum colour { INK, GREY, RULE, ALONE, BORING, MOTION, DEPLOYED, BAD, CLEAN };
static const double colours[][3] = {
    [INK] = { 0.13, 0.13, 0.13 },      [GREY] = { 0.36, 0.36, 0.38 },
    [RULE] = { 0.89, 0.89, 0.90 },     [ALONE] = { 0.05, 0.58, 0.53 },
    [BORING] = { 0.15, 0.39, 0.79 },   [MOTION] = { 0.79, 0.46, 0.05 },
    [DEPLOYED] = { 0.43, 0.16, 0.85 }, [BAD] = { 0.84, 0.09, 0.11 },
    [CLEAN] = { 0.25, 0.62, 0.37 },
};

struct picture {
    const struct i3d_proof *proof;
    cairo_t *cairo;
    FILE *titles; /* of what has been drawn, as SVG; or null */
    double top;   /* of what is drawn next */
};

static void take(cairo_t *cairo, enum colour colour)
{
    cairo_set_source_rgb(cairo, colours[colour][0], colours[colour][1], colours[colour][2]);
}

static double width_of(cairo_t *cairo, const char *text)
{
    cairo_text_extents_t extents;
    cairo_text_extents(cairo, text, &extents);
    return extents.x_advance;
}

/* At a baseline; part of the text's width lies left of x. */
static void put_text(cairo_t *cairo, double x, double y, double part, const char *text)
{
    cairo_move_to(cairo, x - part * width_of(cairo, text), y);
    cairo_show_text(cairo, text);
}

static void put_title(cairo_t *cairo, double y, const char *text)
{
    cairo_select_font_face(cairo, "sans-serif", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_BOLD);
    cairo_set_font_size(cairo, 13);
    take(cairo, INK);
    put_text(cairo, 12, y, 0, text);
    cairo_select_font_face(cairo, "sans-serif", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(cairo, 11);
    take(cairo, GREY);
}

/* A name from a file, without its middle where it is wider than that. */
static const char *fitting(cairo_t *cairo, const char *name, double width,
                           char buffer[LONGEST_NAME])
{
    char whole[LONGEST_NAME - 8];
    i3d_printable(name, whole, sizeof whole);
    size_t length = strlen(whole);
    snprintf(buffer, LONGEST_NAME, "%s", whole);
    for (size_t kept = length; kept > 4 && width_of(cairo, buffer) > width; kept--) {
        size_t head = kept / 3, tail = length - (kept - head);
        while (head && ((unsigned char)whole[head] & 0xc0) == 0x80) /* inside a character */
            head--;
        while (tail < length && ((unsigned char)whole[tail] & 0xc0) == 0x80)
            tail++;
        snprintf(buffer, LONGEST_NAME, "%.*s…%s", (int)head, whole, whole + tail);
    }
    return buffer;
}

/* What a pointer over a rectangle of the picture is told. */
static void put_note(const struct picture *picture, double x, double y, double width,
                     double height, const char *name, const char *what, double value)
{
    char printable[512];
    if (!picture->titles)
        return;
    fprintf(picture->titles, "<rect x='%.1f' y='%.1f' width='%.1f' height='%.1f'><title>", x, y,
            width, height);
    for (const char *c = i3d_printable(name, printable, sizeof printable); *c; c++)
        if (*c == '&' || *c == '<' || *c == '>')
            fprintf(picture->titles, "&#%d;", *c);
        else
            fputc(*c, picture->titles);
    fprintf(picture->titles, ": %s %.2e</title></rect>\n", what, value);
}

/* Where an error stands on the logarithmic axis, which is CHART high. */
static double place_of(double error)
{
    double place = error > 0 ? log10(error) : LOWEST;
    place = fmin(fmax(place, LOWEST), HIGHEST);
    return CHART * (HIGHEST - place) / (HIGHEST - LOWEST);
}

static void put_rule(cairo_t *cairo, double y, const char *label)
{
    take(cairo, RULE);
    cairo_rectangle(cairo, LEFT, y - 0.5, SPAN, 1);
    cairo_fill(cairo);
    take(cairo, GREY);
    put_text(cairo, LEFT - 8, y + 4, 1, label);
}

static void put_axis(const struct picture *picture)
{
    char label[16];
    for (int power = LOWEST; power <= HIGHEST; power += 2) {
        snprintf(label, sizeof label, "1e%d", power);
        put_rule(picture->cairo, picture->top + place_of(pow(10, power)), label);
    }
    put_rule(picture->cairo, picture->top + CHART + LANE, "equal");
}

static void put_tolerance(const struct picture *picture)
{
    cairo_t *cairo = picture->cairo;
    double y = picture->top + place_of(picture->proof->tolerance);
    char label[32];
    snprintf(label, sizeof label, "tolerance %.0e", picture->proof->tolerance);
    take(cairo, BAD);
    cairo_set_line_width(cairo, 1);
    cairo_set_dash(cairo, (const double[]){ 5, 4 }, 2, 0);
    cairo_move_to(cairo, LEFT, y);
    cairo_line_to(cairo, LEFT + SPAN, y);
    cairo_stroke(cairo);
    cairo_set_dash(cairo, NULL, 0, 0);
    put_text(cairo, LEFT + 4, y - 5, 0, label);
}

/* A mark at the tolerance of each layer that has a larger one. */
static void put_raised(const struct picture *picture, double step)
{
    take(picture->cairo, BAD);
    for (size_t i = 0; i < picture->proof->layer_count; i++) {
        double tolerance = picture->proof->layers[i].tolerance;
        if (!(tolerance > picture->proof->tolerance))
            continue;
        cairo_rectangle(picture->cairo, LEFT + step * (double)i,
                        picture->top + place_of(tolerance) - 0.5, step, 1);
        cairo_fill(picture->cairo);
    }
}

/* The findings of a layer, one series each. */
enum { SERIES = 4 };
static const struct {
    enum colour colour;
    double radius; /* so that those of equal layers are all seen */
    const char *legend, *what;
} series[SERIES] = {
    { ALONE, 2, "layer alone", "alone" },
    { BORING, 2.4, "boring video, with all ahead", "with all ahead" },
    { MOTION, 2.4, "motion", "in motion" },
    { DEPLOYED, 3.6, "as deployed, clean frames", "clean frames" },
};

static struct i3d_finding finding_of(const struct i3d_layer_verdict *layer, int k)
{
    const struct i3d_finding boring = { .judged = layer->judged, .good = layer->good,
                                        .max_relative = layer->max_relative };
    switch (k) {
    case 0: return layer->alone;
    case 1: return boring;
    case 2: return layer->motion;
    default: return layer->clean;
    }
}

static void put_dot(cairo_t *cairo, double x, double y, double radius, enum colour colour)
{
    take(cairo, colour);
    cairo_arc(cairo, x, y, radius, 0, 2 * 3.14159265358979323846);
    cairo_fill(cairo);
}

static bool was_run(const struct i3d_proof *proof, int k)
{
    bool found = false;
    for (size_t i = 0; i < proof->layer_count; i++)
        found |= finding_of(&proof->layers[i], k).judged;
    return found;
}

static void put_legend(const struct picture *picture, double y)
{
    double x = LEFT + 4;
    for (int k = 0; k <= SERIES; k++) {
        const char *text = k < SERIES ? series[k].legend : "too large";
        if (k < SERIES && !was_run(picture->proof, k))
            continue;
        if (k < SERIES)
            put_dot(picture->cairo, x, y - 4, series[k].radius + 0.6, series[k].colour);
        else
            put_dot(picture->cairo, x, y - 4, 4, BAD);
        take(picture->cairo, GREY);
        put_text(picture->cairo, x + 9, y, 0, text);
        x += width_of(picture->cairo, text) + 32;
    }
}

/* The length of so many of a name's parts, which dots and slashes divide. */
static size_t length_of_parts(const char *name, int parts)
{
    size_t length = strcspn(name, "/.");
    for (; parts > 1 && name[length]; parts--)
        length += 1 + strcspn(name + length + 1, "/.");
    return length;
}

/* Whether a layer is the first that has those first parts in its name. */
static bool begins(const struct i3d_proof *proof, size_t i, int parts)
{
    const char *name = proof->layers[i].name, *last = i ? proof->layers[i - 1].name : "";
    size_t length = length_of_parts(name, parts);
    return strncmp(name, last, length) || length_of_parts(last, parts) != length;
}

/* How many parts of names make headings that are few, but not too few. */
static int parts_for_headings(const struct i3d_proof *proof)
{
    enum { FEW = 6, MOST_PARTS = 3 };
    for (int parts = 1; parts <= MOST_PARTS; parts++) {
        size_t headings = 0;
        for (size_t i = 0; i < proof->layer_count; i++)
            headings += begins(proof, i, parts);
        if (headings >= FEW && headings < proof->layer_count)
            return parts;
    }
    return 0;
}

/* Names below the chart, as many as have room, or beginnings of parts alone. */
static void put_layer_names(const struct picture *picture, double y, double step)
{
    const struct i3d_proof *proof = picture->proof;
    int parts = parts_for_headings(proof);
    char name[LONGEST_NAME], part[LONGEST_NAME];
    double free_from = 0;
    for (size_t i = 0; i < proof->layer_count; i++) {
        const char *layer = proof->layers[i].name;
        double x = LEFT + step * ((double)i + 0.5);
        if (x < free_from || (parts && !begins(proof, i, parts)))
            continue;
        free_from = x + 14;
        take(picture->cairo, GREY);
        cairo_rectangle(picture->cairo, x - 0.5, y, 1, 4);
        cairo_fill(picture->cairo);
        snprintf(part, sizeof part, "%.*s",
                 parts ? (int)length_of_parts(layer, parts) : LONGEST_NAME - 1, layer);
        cairo_save(picture->cairo);
        cairo_translate(picture->cairo, x + 4, y + 9);
        cairo_rotate(picture->cairo, -3.14159265358979323846 / 3);
        put_text(picture->cairo, 0, 0, 1, fitting(picture->cairo, part, NAMES, name));
        cairo_restore(picture->cairo);
    }
}

/* A mark for each layer that the audit looked at. */
static void put_audit(const struct picture *picture, double y, double step)
{
    take(picture->cairo, GREY);
    put_text(picture->cairo, LEFT - 8, y + 9, 1, "weights");
    for (size_t i = 0; i < picture->proof->layer_count; i++) {
        const struct i3d_layer_verdict *layer = &picture->proof->layers[i];
        if (!layer->has_weights && layer->audit_good)
            continue;
        take(picture->cairo, layer->audit_good ? CLEAN : BAD);
        cairo_rectangle(picture->cairo, LEFT + step * ((double)i + 0.1), y, fmax(0.8 * step, 1),
                        10);
        cairo_fill(picture->cairo);
    }
}

/* The relative error of every layer, by proof. */
static void put_errors(struct picture *picture)
{
    const struct i3d_proof *proof = picture->proof;
    bool ran = false;
    double step = (double)SPAN / (double)(proof->layer_count ? proof->layer_count : 1);
    for (int k = 0; k < SERIES; k++)
        ran |= was_run(proof, k);
    put_title(picture->cairo, picture->top + 14,
              ran ? "Relative error by layer, input to output" : "Audit of weights by layer");
    picture->top += 30;
    if (ran) {
        put_legend(picture, picture->top + 6);
        picture->top += 24;
        put_axis(picture);
        put_tolerance(picture);
        put_raised(picture, step);
        for (size_t i = 0; i < proof->layer_count; i++)
            for (int k = SERIES; k-- > 0;) {
                struct i3d_finding found = finding_of(&proof->layers[i], k);
                double error = isnan(found.max_relative) ? INFINITY : found.max_relative;
                double x = LEFT + step * ((double)i + 0.5);
                double y = picture->top + (error > 0 ? place_of(error) : CHART + LANE);
                if (!found.judged)
                    continue;
                put_dot(picture->cairo, x, y, found.good ? series[k].radius : 3.2,
                        found.good ? series[k].colour : BAD);
                put_note(picture, x - 3, y - 3, 6, 6, proof->layers[i].name, series[k].what,
                         found.max_relative);
            }
        picture->top += CHART + LANE + 12;
    }
    put_audit(picture, picture->top, step);
    picture->top += 14;
    put_layer_names(picture, picture->top, step);
    picture->top += NAMES + 24;
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

/* From yellow to dark red the more a frame deviates. */
static void take_heat(cairo_t *cairo, double error)
{
    double part = error > 0 ? (log10(error) + 7) / 7 : 0;
    part = fmin(fmax(part, 0), 1);
    cairo_set_source_rgb(cairo, 0.99 - 0.41 * part, 0.86 - 0.80 * part, 0.47 - 0.37 * part);
}

/* Frames from first to last (not included): clean if all are, else as the worst is. */
static double take_frames(const struct picture *picture, const struct i3d_layer_verdict *layer,
                          int64_t first, int64_t last)
{
    bool clean = layer->clean_count && first >= layer->clean_first && last - 1 <= layer->clean_last;
    double worst = layer->deviation ? 0 : NAN;
    for (int64_t t = first; t < last && layer->deviation; t++)
        worst = (double)layer->deviation[t] <= worst ? worst : (double)layer->deviation[t];
    if (clean)
        take(picture->cairo, CLEAN);
    else
        take_heat(picture->cairo, layer->deviation ? worst : 1e-5);
    return worst;
}

/* A row of cells, one for each frame as long as they are wider than a unit. */
static void put_row(const struct picture *picture, const struct i3d_layer_verdict *layer, double y,
                    double height)
{
    int64_t cells = layer->frames < SPAN / 2 ? layer->frames : SPAN / 2;
    double each = (double)SPAN / (double)cells;
    for (int64_t k = 0; k < cells; k++) {
        take_frames(picture, layer, k * layer->frames / cells, (k + 1) * layer->frames / cells);
        cairo_rectangle(picture->cairo, LEFT + each * (double)k, y, each > 3 ? each - 0.6 : each,
                        height > 4 ? height - 1 : height);
        cairo_fill(picture->cairo);
    }
}

/* Every so many-th layer that has a row has one; 0: none has. */
static size_t rows_of(const struct i3d_proof *proof, size_t *stride)
{
    size_t rows = 0;
    for (size_t i = 0; i < proof->layer_count; i++)
        rows += has_row(&proof->layers[i]);
    *stride = rows / MOST_ROWS + 1;
    return (rows + *stride - 1) / *stride;
}

static double row_height(size_t rows)
{
    return rows > 150 ? 6 : rows > 60 ? 10 : 13;
}

/* What the colours of cells mean. */
static void put_scale(const struct picture *picture, double y)
{
    cairo_t *cairo = picture->cairo;
    bool measured = picture->proof->ran_deployed;
    double x = LEFT;
    char label[16];
    take(cairo, CLEAN);
    cairo_rectangle(cairo, x, y - 9, 20, 10);
    cairo_fill(cairo);
    take(cairo, GREY);
    put_text(cairo, x + 26, y, 0, "clean: sees the clip alone");
    x += 36 + width_of(cairo, "clean: sees the clip alone") + 24;
    for (int power = measured ? -7 : -5; power <= (measured ? 0 : -5); power++) {
        take_heat(cairo, pow(10, power));
        cairo_rectangle(cairo, x, y - 9, 20, 10);
        cairo_fill(cairo);
        take(cairo, GREY);
        snprintf(label, sizeof label, "1e%d", power);
        if (measured && power % 2)
            put_text(cairo, x + 10, y + 12, 0.5, label);
        x += 20;
    }
    put_text(cairo, x + 6, y, 0, measured ? "deviation of the others, as deployed"
                                          : "sees padding (--as-deployed measures how far it is off)");
}

static void put_frames(struct picture *picture)
{
    const struct i3d_proof *proof = picture->proof;
    size_t stride, rows = rows_of(proof, &stride), passed = 0, row = 0;
    double height = row_height(rows);
    char text[LONGEST_NAME];
    if (!rows)
        return;
    snprintf(text, sizeof text, "Frames of each layer as deployed, a clip of %lld",
             (long long)proof->frames);
    put_title(picture->cairo, picture->top + 14, text);
    put_scale(picture, picture->top + 36);
    picture->top += 58;
    cairo_set_font_size(picture->cairo, height < 13 ? 9 : 10.5);
    for (size_t i = 0; i < proof->layer_count; i++) {
        const struct i3d_layer_verdict *layer = &proof->layers[i];
        if (!has_row(layer) || passed++ % stride)
            continue;
        double y = picture->top + height * (double)row;
        put_row(picture, layer, y, height);
        take(picture->cairo, GREY);
        if (height >= 10 || row % 2 == 0)
            put_text(picture->cairo, LEFT - 8, y + height / 2 + 3, 1,
                     fitting(picture->cairo, layer->name, LEFT - 20, text));
        if (picture->titles && layer->clean_count)
            put_note(picture, 0, y, WIDTH, height, layer->name, "clean frames",
                     (double)layer->clean_count);
        row++;
    }
    picture->top += height * (double)rows;
    cairo_set_font_size(picture->cairo, 11);
    take(picture->cairo, GREY);
    for (int k = 0; k <= 8; k++) {
        snprintf(text, sizeof text, "%lld", (long long)(proof->frames * k / 8));
        if (k && proof->frames * k / 8 == proof->frames * (k - 1) / 8)
            continue;
        double x = LEFT + SPAN * ((double)(proof->frames * k / 8) / (double)proof->frames);
        cairo_rectangle(picture->cairo, x - 0.5, picture->top, 1, 4);
        cairo_fill(picture->cairo);
        put_text(picture->cairo, x, picture->top + 16, 0.5, text);
    }
    put_text(picture->cairo, LEFT - 8, picture->top + 16, 1, "frame of the clip");
    picture->top += 40;
}

/* The last layer that has frames: the result, ahead of a mean over time. */
static const struct i3d_layer_verdict *last_with_frames(const struct i3d_proof *proof)
{
    for (size_t i = proof->layer_count; i-- > 0;)
        if (proof->layers[i].timed && proof->layers[i].deviation)
            return &proof->layers[i];
    return NULL;
}

static void put_deviation(struct picture *picture)
{
    const struct i3d_layer_verdict *layer = last_with_frames(picture->proof);
    char text[LONGEST_NAME + 64], name[LONGEST_NAME];
    if (!layer)
        return;
    snprintf(text, sizeof text, "Deviation from 2D over the frames of %s, as deployed",
             fitting(picture->cairo, layer->name, 500, name));
    put_title(picture->cairo, picture->top + 14, text);
    picture->top += 32;
    put_axis(picture);
    int64_t bars = layer->frames < SPAN / 2 ? layer->frames : SPAN / 2;
    double each = (double)SPAN / (double)bars, floor = picture->top + CHART + LANE;
    int64_t labels = bars / 32 + 1;
    for (int64_t k = 0; k < bars; k++) {
        int64_t first = k * layer->frames / bars;
        double error = take_frames(picture, layer, first, (k + 1) * layer->frames / bars);
        double width = fmin(each * 0.7, 80), x = LEFT + each * ((double)k + 0.5) - width / 2;
        double y = picture->top + (error > 0 ? place_of(error) : CHART + LANE - 2);
        cairo_rectangle(picture->cairo, x, y, width, floor - y);
        cairo_fill(picture->cairo);
        snprintf(text, sizeof text, "frame %lld is off by", (long long)first);
        put_note(picture, x, y, width, floor - y, layer->name, text, error);
        take(picture->cairo, GREY);
        snprintf(text, sizeof text, "%lld", (long long)first);
        if (k % labels == 0)
            put_text(picture->cairo, x + width / 2, floor + 20, 0.5, text);
    }
    put_text(picture->cairo, LEFT - 8, floor + 20, 1, "frame of the result");
    picture->top = floor + 30;
}

/* Everything, downwards; leaves the height in top. */
static void draw(struct picture *picture)
{
    picture->top = 10;
    cairo_set_source_rgb(picture->cairo, 1, 1, 1);
    cairo_paint(picture->cairo);
    put_errors(picture);
    put_frames(picture);
    put_deviation(picture);
    picture->top += 10;
}

/* The height of the picture: it is drawn on a surface that keeps nothing. */
static double measure(const struct i3d_proof *proof)
{
    const cairo_rectangle_t extents = { 0, 0, 1, 1 };
    cairo_surface_t *surface = cairo_recording_surface_create(CAIRO_CONTENT_COLOR, &extents);
    struct picture picture = { .proof = proof, .cairo = cairo_create(surface) };
    draw(&picture);
    cairo_destroy(picture.cairo);
    cairo_surface_destroy(surface);
    return ceil(picture.top);
}

static cairo_status_t print(void *out, const unsigned char *bytes, unsigned length)
{
    return fwrite(bytes, 1, length, out) == length ? CAIRO_STATUS_SUCCESS
                                                   : CAIRO_STATUS_WRITE_ERROR;
}

/* Prints the picture. titles may be null. */
static bool render(const struct i3d_proof *proof, double height, bool png, FILE *out,
                   FILE *titles)
{
    cairo_surface_t *surface =
        png ? cairo_image_surface_create(CAIRO_FORMAT_RGB24, SHARPNESS * WIDTH,
                                         SHARPNESS * (int)height)
            : cairo_svg_surface_create_for_stream(print, out, WIDTH, height);
    struct picture picture = { .proof = proof, .cairo = cairo_create(surface), .titles = titles };
    if (png)
        cairo_scale(picture.cairo, SHARPNESS, SHARPNESS);
    else
        cairo_svg_surface_set_document_unit(surface, CAIRO_SVG_UNIT_PX);
    draw(&picture);
    bool good = !cairo_status(picture.cairo)
        && (!png || !cairo_surface_write_to_png_stream(surface, print, out));
    cairo_destroy(picture.cairo);
    cairo_surface_finish(surface); /* writes the SVG */
    good = good && !cairo_surface_status(surface);
    cairo_surface_destroy(surface);
    cairo_debug_reset_static_data(); /* or the fonts that both keep pass for a leak */
    FcFini();
    return good && !ferror(out) && !(titles && ferror(titles));
}

enum i3d_status verify_write_plot(const struct i3d_proof *proof, const char *path,
                                  struct i3d_error *error)
{
    char *bytes = NULL;
    size_t length = 0;
    const char *suffix = strrchr(path, '.');
    bool png = suffix && !strcasecmp(suffix, ".png");
    FILE *out = open_memstream(&bytes, &length);
    bool good = out && render(proof, measure(proof), png, out, NULL);
    good = out && !fclose(out) && good;
    enum i3d_status status =
        good ? i3d_output_put(path, bytes, length, error) : i3d_fail_memory(error);
    free(bytes);
    return status;
}

enum i3d_status verify_put_plot(const struct i3d_proof *proof, FILE *page, struct i3d_error *error)
{
    char *drawn = NULL, *titles = NULL, *encoded = NULL;
    size_t length = 0, titles_length = 0;
    double height = measure(proof);
    FILE *out = open_memstream(&drawn, &length);
    FILE *names = out ? open_memstream(&titles, &titles_length) : NULL;
    bool good = names && render(proof, height, false, out, names);
    good = names && !fclose(names) && good;
    good = out && !fclose(out) && good;
    if (good)
        encoded = i3d_base64_encode(drawn, length);
    /* As an image of its own, since identifiers of two drawings in a page could clash. */
    if (encoded)
        fprintf(page, "<svg viewBox='0 0 %d %.0f' width='%d' fill='transparent'>"
                      "<image width='%d' height='%.0f' href='data:image/svg+xml;base64,%s'/>\n"
                      "%s</svg>\n", WIDTH, height, WIDTH, WIDTH, height, encoded, titles);
    free(drawn);
    free(titles);
    free(encoded);
    return encoded ? I3D_OK : i3d_fail_memory(error);
}
