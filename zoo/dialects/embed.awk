# Turns dialect tables into the C file that the library carries.
function base_name(path) {
    sub(/^.*\//, "", path)
    sub(/\.tsv$/, "", path)
    return path
}

BEGIN {
    print "#include \"zoo/dialects.h\"\n"
    print "const struct i3d_dialect_text i3d_dialect_texts[] = {"
}

FNR == 1 {
    if (NR > 1)
        print "    },"
    printf "    { \"%s\",\n", base_name(FILENAME)
}

{
    gsub(/\\/, "\\\\")
    gsub(/"/, "\\\"")
    gsub(/\t/, "\\t")
    printf "      \"%s\\n\"\n", $0
}

END {
    print "    },"
    print "    { 0 },"
    print "};"
}
