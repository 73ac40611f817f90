#include "tools/verify_report.h"

#include "tools/tool.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void raise_to(double *worst, const struct i3d_finding *finding)
{
    if (finding->judged && !(finding->max_relative <= *worst))
        *worst = finding->max_relative;
}

struct verify_totals verify_total(const struct i3d_proof *proof)
{
    struct verify_totals totals = { 0 };
    for (size_t i = 0; i < proof->layer_count; i++) {
        const struct i3d_layer_verdict *layer = &proof->layers[i];
        totals.weighted += layer->has_weights;
        totals.alone += layer->alone.judged;
        totals.raised += layer->tolerance > proof->tolerance;
        totals.most_rounding = fmax(totals.most_rounding, layer->tolerance);
        if (layer->judged && !(layer->max_relative <= totals.worst_boring))
            totals.worst_boring = layer->max_relative;
        raise_to(&totals.worst_alone, &layer->alone);
        raise_to(&totals.worst_motion, &layer->motion);
        raise_to(&totals.worst_clean, &layer->clean);
        raise_to(&totals.worst_spoilt, &layer->spoilt);
    }
    return totals;
}

/* A word of the verdict: green or red, on a terminal whose user has not set NO_COLOR. */
static const char *coloured(bool good, const char *word, char buffer[32])
{
    const char *refused = getenv("NO_COLOR"), *terminal = getenv("TERM");
    if (!isatty(STDOUT_FILENO) || (refused && *refused) || !terminal || !strcmp(terminal, "dumb"))
        return word;
    snprintf(buffer, 32, "\033[%dm%s\033[0m", good ? 32 : 31, word);
    return buffer;
}

static bool is_good(const struct i3d_layer_verdict *layer)
{
    return layer->audit_good && (!layer->judged || layer->good)
        && (!layer->alone.judged || layer->alone.good)
        && (!layer->clean.judged || layer->clean.good)
        && (!layer->motion.judged || layer->motion.good);
}

static void print_number(const struct i3d_finding *finding)
{
    if (finding->judged)
        printf(" %9.2e", finding->max_relative);
    else
        printf(" %9s", "-");
}

static const char *clean_frames(const struct i3d_layer_verdict *layer, char *buffer, size_t size)
{
    if (!layer->frames)
        return "?";
    if (!layer->clean_count)
        return layer->never_clean ? "never" : "none";
    snprintf(buffer, size, layer->timed ? "%lld-%lld/%lld" : "yes", (long long)layer->clean_first,
             (long long)layer->clean_last, (long long)layer->frames);
    return buffer;
}

static void print_layer(const struct i3d_proof *proof, const struct i3d_layer_verdict *layer)
{
    char name[160], shape[64], clean[64], note[4 * sizeof layer->audit_note];
    printf("%-40s %-18s %-18s %-7s", i3d_printable(layer->name, name, sizeof name),
           layer->operation, i3d_shape_string(layer->rank, layer->dims, shape, sizeof shape),
           !layer->has_weights ? "-" : layer->audit_good ? "equal" : "DIFFER");
    if (proof->ran_boring) {
        print_number(&layer->alone);
        printf(" %9.2e %9.2e %5lld", layer->max_relative, layer->relative_l2,
               (long long)layer->worst_frame);
    }
    if (proof->ran_motion)
        print_number(&layer->motion);
    if (proof->ran_deployed) {
        printf(" %11s", clean_frames(layer, clean, sizeof clean));
        print_number(&layer->clean);
        print_number(&layer->spoilt);
    }
    char word[32];
    printf("  %s\n", coloured(is_good(layer), is_good(layer) ? "ok" : "FAIL", word));
    if (layer->audit_note[0])
        printf("    %s\n", i3d_printable(layer->audit_note, note, sizeof note));
}

/* What one of the two has alone. */
static void print_lone(const char *where, const char *const *names, size_t count)
{
    char name[512];
    for (size_t i = 0; i < count; i++)
        printf("only in %s: %s\n", where, i3d_printable(names[i], name, sizeof name));
}

void verify_print_table(const struct i3d_proof *proof)
{
    printf("%-40s %-18s %-18s %-7s", "layer", "operator", "shape", "weights");
    if (proof->ran_boring)
        printf(" %9s %9s %9s %5s", "alone", "relative", "rel. L2", "frame");
    if (proof->ran_motion)
        printf(" %9s", "motion");
    if (proof->ran_deployed)
        printf(" %11s %9s %9s", "clean", "there", "elsewhere");
    printf("  verdict\n");
    for (size_t i = 0; i < proof->layer_count; i++)
        print_layer(proof, &proof->layers[i]);
    print_lone("2D", proof->names_2d, proof->unpaired_2d);
    print_lone("3D", proof->names_3d, proof->unpaired_3d);
}

const char *verify_deployed(const struct i3d_proof *proof, char *buffer, size_t size)
{
    char name[160] = "", longer[96] = "";
    if (proof->by_name) {
        snprintf(buffer, size, "the files hold no graph");
        return buffer;
    }
    if (!proof->result) {
        snprintf(buffer, size, "the frames of the result could not be followed");
        return buffer;
    }
    i3d_printable(proof->result, name, sizeof name);
    if (proof->shortest_clip > 0)
        snprintf(longer, sizeof longer, "the shortest clip that has one is of %lld frames",
                 (long long)proof->shortest_clip);
    else if (!proof->shortest_clip)
        snprintf(longer, sizeof longer, "none at any length: all frames are mixed");
    else
        snprintf(longer, sizeof longer, "none found in longer clips either");
    if (!proof->result_clean_count)
        snprintf(buffer, size, "no clean frame of %s at %lld frames; %s", name,
                 (long long)proof->frames, longer);
    else if (proof->result_clean_count == proof->result_frames)
        snprintf(buffer, size, "every frame of %s is clean at %lld frames", name,
                 (long long)proof->frames);
    else
        snprintf(buffer, size, "frames %lld to %lld of 0 to %lld of %s are clean at %lld frames",
                 (long long)proof->result_clean_first, (long long)proof->result_clean_last,
                 (long long)proof->result_frames - 1, name, (long long)proof->frames);
    return buffer;
}

void verify_print_verdicts(const struct i3d_proof *proof)
{
    struct verify_totals totals = verify_total(proof);
    char text[512];
    char word[32];
    printf("WEIGHTS %s audit of %zu %s",
           coloured(proof->weights_good, proof->weights_good ? "PASS" : "FAIL", word),
           totals.weighted,
           proof->by_name ? "tensors, paired by name" : "layers");
    if (*proof->recipe)
        printf(" by recipe %s", proof->recipe);
    if (proof->ran_boring)
        printf("; boring video, edge padding: %zu layers within %.1e, %zu of them alone within "
               "%.1e", proof->layer_count, totals.worst_boring, totals.alone, totals.worst_alone);
    if (proof->ran_motion)
        printf("; motion, as deployed: %zu layers within %.1e, %zu not followed",
               proof->layer_count - proof->without_motion, totals.worst_motion,
               proof->without_motion);
    printf("\nAS DEPLOYED %s %s",
           !proof->ran_deployed ? "not run:" : proof->deployed_good ? "PASS" : "FAIL",
           verify_deployed(proof, text, sizeof text));
    if (proof->ran_deployed)
        printf("; clean frames within %.1e, others off by up to %.1e", totals.worst_clean,
               totals.worst_spoilt);
    putchar('\n');
}

const char *verify_reason(const struct i3d_proof *proof, char *buffer, size_t size)
{
    const struct i3d_layer_verdict *bad =
        proof->first_bad >= 0 ? &proof->layers[proof->first_bad] : NULL;
    const char *reason = bad && bad->audit_note[0] ? bad->audit_note : proof->obstacle;
    char text[1024];
    buffer[0] = '\0';
    if (proof->good)
        return buffer;
    if (!bad || *reason)
        snprintf(text, sizeof text, "%s", reason);
    else if (bad->alone.judged && !bad->alone.good)
        snprintf(text, sizeof text, "alone, relative error %.1e; rounding explains %.1e",
                 bad->alone.max_relative, bad->bound);
    else if (bad->judged && !bad->good)
        snprintf(text, sizeof text, "relative error %.1e in frame %lld", bad->max_relative,
                 (long long)bad->worst_frame);
    else if (bad->motion.judged && !bad->motion.good)
        snprintf(text, sizeof text, "in motion, relative error %.1e in frame %lld",
                 bad->motion.max_relative, (long long)bad->motion.worst_frame);
    else
        snprintf(text, sizeof text, "as deployed, relative error %.1e in clean frame %lld",
                 bad->clean.max_relative, (long long)bad->clean.worst_frame);
    return i3d_printable(text, buffer, size);
}

static const char *tolerance_of(const struct i3d_proof *proof, const struct verify_totals *totals,
                                char *buffer, size_t size)
{
    int used = snprintf(buffer, size, "tolerance %.0e", proof->tolerance);
    if (totals->raised)
        snprintf(buffer + used, size - (size_t)used, ", up to %.1e in %zu layers where rounding "
                 "grows so far", totals->most_rounding, totals->raised);
    return buffer;
}

void verify_print_last(const struct i3d_proof *proof)
{
    struct verify_totals totals = verify_total(proof);
    char name[512], reason[1024];
    verify_reason(proof, reason, sizeof reason);
    if (!proof->good && proof->first_bad < 0 && proof->by_name)
        printf("FAIL %zu tensors are only in 2D, %zu only in 3D: %s\n", proof->unpaired_2d,
               proof->unpaired_3d, reason);
    else if (!proof->good && proof->first_bad < 0)
        printf("FAIL the networks cannot be paired to the end: %s\n", reason);
    else if (!proof->good)
        printf("FAIL first at %s: %s\n",
               i3d_printable(proof->layers[proof->first_bad].name, name, sizeof name), reason);
    else if (!proof->ran_boring && !proof->ran_motion && !proof->ran_deployed)
        printf("PASS weights of %zu %s audited; nothing was run\n", totals.weighted,
               proof->by_name ? "tensors" : "layers");
    else
        printf("PASS %zu layers agree%s, worst relative error %.1e (%s); weights of %zu layers "
               "audited\n", proof->layer_count,
               proof->ran_boring || proof->ran_motion ? " at every frame" : " at clean frames",
               fmax(totals.worst_boring, fmax(totals.worst_motion, totals.worst_clean)),
               tolerance_of(proof, &totals, reason, sizeof reason), totals.weighted);
}
