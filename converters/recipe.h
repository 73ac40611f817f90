/* Recipes: ordered rules that say what each layer of a 2D network gets along
 * time. i3dconv-recipes(5) describes the text; the built-in ones are written in
 * it too (converters/recipes/). */
#pragma once

#include "converters/temporal.h"

enum { I3D_LAYER_NAMES = 6 };

/* What rules see of a layer. Numbers count from 1; 0 is "not known". */
struct i3d_layer {
    const char *op_type;
    const char *names[I3D_LAYER_NAMES]; /* of node, output and weight; null: no more */
    int64_t kernel[2];                  /* height, width */
    int64_t position, count;            /* among the network's layers of this operator */
    /* In a residual network: a block is what one addition closes, a stage begins
     * with a block whose shortcut has a convolution. place counts a block's
     * convolutions from its input on, convs says how many it has; those of the
     * shortcut have place 0. */
    int stage, block, place, convs;
    int ends_stage; /* what leaves this node is that stage's result */
};

/* A number range; low 0 stands for "any". Negative ones count from the end. */
struct i3d_range {
    int64_t low, high;
};

enum i3d_parity { I3D_ANY_BLOCK, I3D_ODD_BLOCK, I3D_EVEN_BLOCK };

/* What a rule asks for; all of it has to hold. */
struct i3d_condition {
    const char *op_type; /* null: any window */
    const char *pattern; /* shell pattern of a name, or null */
    int64_t kernel[2];   /* 0: any */
    struct i3d_range position, stage, block, place, convs, stage_end;
    enum i3d_parity parity; /* of the block */
};

enum { I3D_NOT_GIVEN = -1, I3D_AS_IN_SPACE = -2, I3D_HALF = -3 };

/* What a rule gives: numbers, or one of the above (pads: I3D_HALF, half of the
 * kernel's reach on either side, which keeps the frames at stride 1). */
struct i3d_settings {
    int64_t kernel, stride, dilation, pad_begin, pad_end;
    int init; /* enum i3d_init, or I3D_NOT_GIVEN */
};

struct i3d_rule {
    char where[24];     /* "line 7", "--set": for people */
    const char *text;   /* as it was written */
    struct i3d_condition when;
    struct i3d_settings give;
    const char *insert; /* the pool to put behind the layer, or null; give is then its window */
    bool is_set;        /* from --set: has to match something */
};

struct i3d_recipe {
    struct i3d_arena *arena;
    const char *name, *title;
    struct i3d_rule *rules; /* malloc'ed */
    size_t rule_count, rule_room;
    /* The average pool at the end spans this many frames, then the classifier
     * works frame by frame and its logits are averaged over time; 0: time is
     * averaged with height and width. */
    int head_frames;
    int stages; /* residual stages that the network has to have; 0: any network will do */
};

/* The built-in recipes' texts, generated; ended by an entry without a name. */
struct i3d_recipe_text {
    const char *name, *text;
};
extern const struct i3d_recipe_text i3d_recipe_texts[];

/* The built-in recipe of that name; I3D_USAGE lists them. */
enum i3d_status i3d_recipe_builtin(const char *name, struct i3d_recipe **recipe,
                                   struct i3d_error *error);
/* Reads a recipe's text; name is copied. I3D_MALFORMED names the line. */
enum i3d_status i3d_recipe_parse(const char *name, const char *text, size_t length,
                                 struct i3d_recipe **recipe, struct i3d_error *error);
/* Puts the rule "PATTERN=KERNEL[,SETTING=VALUE]..." ahead of the others. KERNEL
 * is N or NxHxW; pads are half where it gives none. I3D_USAGE if it is no such
 * text. */
enum i3d_status i3d_recipe_set(struct i3d_recipe *recipe, const char *assignment,
                               struct i3d_error *error);
void i3d_recipe_free(struct i3d_recipe *recipe);

/* Whether the rule is for that layer. */
bool i3d_rule_matches(const struct i3d_rule *rule, const struct i3d_layer *layer);

/* Each setting comes from the first rule that matches and gives it; init is the
 * fallback where none does. isotropic is what the layer has in space: the answer
 * where no rule gives anything. */
struct i3d_temporal i3d_recipe_window(const struct i3d_recipe *recipe,
                                      const struct i3d_layer *layer,
                                      const struct i3d_temporal *isotropic, enum i3d_init init);
/* The first rule that inserts a pool behind that layer, or null. */
const struct i3d_rule *i3d_recipe_insertion(const struct i3d_recipe *recipe,
                                            const struct i3d_layer *layer);
/* I3D_USAGE if a --set matches none of the layers, or a window of another size
 * than it says; I3D_UNSUPPORTED if the network lacks the recipe's stages. */
enum i3d_status i3d_recipe_fits(const struct i3d_recipe *recipe, const struct i3d_layer *layers,
                                size_t count, struct i3d_error *error);

/* What rules see of each node of a 2D graph, one entry per node, malloc'ed;
 * nodes that are no windows have names and ends_stage only. Names are put into
 * arena or are the model's. */
enum i3d_status i3d_layers_of_graph(const struct i3d_model *model, const struct i3d_index *index,
                                    struct i3d_arena *arena, struct i3d_layer **layers,
                                    struct i3d_error *error);
/* The same for the tensors of a file without a graph: 4-D ones stand for
 * convolutions; stages and blocks are read from names as PyTorch's ResNets have
 * them ("layer2.0.conv1.weight"). */
enum i3d_status i3d_layers_of_weights(const struct i3d_model *model, struct i3d_arena *arena,
                                      struct i3d_layer **layers, struct i3d_error *error);

/* residual.c: fills stage, block, place, convs and ends_stage. */
enum i3d_status i3d_find_residual_blocks(const struct i3d_model *model,
                                         const struct i3d_index *index, struct i3d_layer *layers,
                                         struct i3d_error *error);

/* Shell patterns: *, ?, and [...] with ranges and a leading ! for "none of". */
bool i3d_pattern_matches(const char *pattern, const char *text);
