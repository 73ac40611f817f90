#include "converters/recipe.h"

/* One [...] of a pattern against a character; end is left behind it. Without a
 * closing bracket the pattern's "[" is a plain character. */
static bool set_matches(const char *set, char c, const char **end)
{
    const char *at = set + 1;
    bool negated = *at == '!' || *at == '^';
    at += negated;
    bool found = false;
    const char *first = at;
    for (; *at && (*at != ']' || at == first); at++) {
        if (at[1] == '-' && at[2] && at[2] != ']') {
            found |= (unsigned char)c >= (unsigned char)at[0]
                && (unsigned char)c <= (unsigned char)at[2];
            at += 2;
        } else {
            found |= c == *at;
        }
    }
    if (!*at) {
        *end = set + 1;
        return c == '[';
    }
    *end = at + 1;
    return found != negated;
}

/* Patterns may come from a stranger's recipe: after a mismatch only the last star
 * is tried again, so that the time is a product of the two lengths at most. */
bool i3d_pattern_matches(const char *pattern, const char *text)
{
    const char *star = NULL, *star_text = NULL;
    while (*text) {
        const char *next = pattern + 1;
        bool good = *pattern == '?' || (*pattern && *pattern == *text && *pattern != '[');
        if (*pattern == '[')
            good = set_matches(pattern, *text, &next);
        if (*pattern == '*') {
            star = pattern++;
            star_text = text;
        } else if (good) {
            pattern = next;
            text++;
        } else if (star) {
            pattern = star + 1;
            text = ++star_text;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return !*pattern;
}
