# Sourced by test scripts: one TAP line for each check.

number=0 failed=0

# report NAME PROBLEMS: the check held if there are no problems.
report() {
    number=$((number + 1))
    if [ -z "$2" ]; then
        echo "ok $number - $1"
    else
        echo "$2" | sed 's/^/# /'
        echo "not ok $number - $1"
        failed=1
    fi
}

# Ends the script.
finish() {
    echo "1..$number"
    exit "$failed"
}
