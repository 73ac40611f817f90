# Turns recipe files into the C file that the library carries.
function base_name(path) {
    sub(/^.*\//, "", path)
    sub(/\.recipe$/, "", path)
    return path
}

BEGIN {
    print "#include \"converters/recipe.h\"\n"
    print "const struct i3d_recipe_text i3d_recipe_texts[] = {"
}

FNR == 1 {
    if (NR > 1)
        print "    },"
    printf "    { \"%s\",\n", base_name(FILENAME)
}

{
    gsub(/\\/, "\\\\")
    gsub(/"/, "\\\"")
    printf "      \"%s\\n\"\n", $0
}

END {
    print "    },"
    print "    { 0 },"
    print "};"
}
