#include "tools/explanation.h"

#include "tools/tool.h"

#include <string.h>

/* "line 3", "--set", or how the layer is in space. */
static const char *rule_text(const struct i3d_rule *rule)
{
    return rule ? rule->where : "as in space";
}

static const char *number_text(int64_t number, const char *zero, char text[24])
{
    if (number < 0)
        return "-";
    if (!number)
        return zero;
    snprintf(text, 24, "%lld", (long long)number);
    return text;
}

static void print_layer(const struct i3d_layer_account *layer, int width)
{
    char name[256], kernel[64], frames[64] = "-", stride[24], field[24], clean[24];
    snprintf(kernel, sizeof kernel, "%lldx%lldx%lld", (long long)layer->kernel[0],
             (long long)layer->kernel[1], (long long)layer->kernel[2]);
    if (layer->frames_out >= 0)
        snprintf(frames, sizeof frames, "%lld>%lld", (long long)layer->frames_in,
                 (long long)layer->frames_out);
    printf("%-*s %-13s %-11s %-9s %6s %9s %6s %6s %11lld\n", width,
           i3d_printable(layer->name, name, sizeof name), layer->op_type, rule_text(layer->rule),
           kernel, number_text(layer->stride, "-", stride), frames,
           number_text(layer->field, "all", field), number_text(layer->clean, "none", clean),
           (long long)layer->parameters);
}

void tool_print_explanation(const struct i3d_explanation *explanation,
                            const struct i3d_recipe *recipe, int64_t frames)
{
    enum { NARROW = 24, WIDE = 60 };
    int width = NARROW;
    for (size_t i = 0; i < explanation->count; i++) {
        int length = (int)strnlen(explanation->layers[i].name, WIDE);
        width = length > width ? length : width;
    }
    printf("recipe %s; %lld frames, zero padding\n\n", recipe->name, (long long)frames);
    printf("%-*s %-13s %-11s %-9s %6s %9s %6s %6s %11s\n", width, "layer", "operator", "rule",
           "kernel", "stride", "frames", "field", "clean", "parameters");
    for (size_t i = 0; i < explanation->count; i++)
        print_layer(&explanation->layers[i], width);
    putchar('\n');
    for (size_t i = 0; i < recipe->rule_count; i++)
        printf("%-11s %s\n", recipe->rules[i].where, recipe->rules[i].text);
    printf("%lld parameters\n", (long long)explanation->parameters);
}
