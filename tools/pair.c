#include "tools/pair.h"

#include "formats/input.h"
#include "formats/output.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LARGEST = 1 << 16 };

bool tool_is_pair(const char *path)
{
    size_t length = strlen(path);
    return length > 5 && !strcmp(path + length - 5, ".json");
}

/* folder/name; null if the name is none of a file in that folder, or memory is short. */
static char *beside(const char *path, const json_t *name)
{
    const char *text = json_string_value(name), *slash = strrchr(path, '/');
    char *joined;
    if (!text || !*text || *text == '.' || strchr(text, '/')
        || asprintf(&joined, "%.*s%s", slash ? (int)(slash + 1 - path) : 0, path, text) < 0)
        return NULL;
    return joined;
}

enum i3d_status tool_read_pair(const char *path, char **rgb, char **flow,
                               struct i3d_error *error)
{
    char *text;
    size_t length;
    *rgb = *flow = NULL;
    enum i3d_status status = i3d_input_load(path, LARGEST, &text, &length, error);
    if (status)
        return status;
    json_t *pair = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
    free(text);
    if (json_integer_value(json_object_get(pair, "two_stream")) == 1) {
        *rgb = beside(path, json_object_get(pair, "rgb"));
        *flow = beside(path, json_object_get(pair, "flow"));
    }
    json_decref(pair);
    if (*rgb && *flow)
        return I3D_OK;
    free(*rgb);
    free(*flow);
    *rgb = *flow = NULL;
    i3d_fail(error, I3D_MALFORMED, "it does not name two streams in its own folder");
    return i3d_error_file(error, path);
}

enum i3d_status tool_write_pair(const char *folder, const char *rgb, const char *flow,
                                const struct i3d_model *model, struct i3d_error *error)
{
    static const char *const told[] = { "recipe", "source_sha256", "version" };
    char key[64], *path = NULL;
    json_t *pair = json_pack("{s:i, s:s, s:s}", "two_stream", 1, "rgb", rgb, "flow", flow);
    for (size_t i = 0; i < sizeof told / sizeof *told; i++) {
        snprintf(key, sizeof key, "i3dconv.%s", told[i]);
        const char *value = i3d_metadata(model, key);
        if (value)
            json_object_set_new(pair, told[i], json_string(value));
    }
    char *json = pair ? json_dumps(pair, JSON_INDENT(2)) : NULL, *text = NULL;
    bool good = json && asprintf(&text, "%s\n", json) >= 0
        && asprintf(&path, "%s/two_stream.json", folder) >= 0;
    enum i3d_status status = good ? i3d_output_put(path, text, strlen(text), error)
                                  : i3d_fail_memory(error);
    json_decref(pair);
    free(json);
    free(text);
    free(path);
    return status;
}
