# Turns texts into the C file that the library carries: -v header=FILE -v type=STRUCT -v array=NAME.
function base_name(path) {
    sub(/^.*\//, "", path)
    sub(/\.[a-z]*$/, "", path)
    return path
}

BEGIN {
    printf "#include \"%s\"\n\n", header
    printf "const struct %s %s[] = {\n", type, array
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
