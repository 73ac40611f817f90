# help COMMAND opens the manual page; without a man program it falls back on --help.
mkdir bin empty
printf '#!/bin/sh\necho "man was asked for: $*"\n' >bin/man
chmod +x bin/man
run 'PATH=$PWD/bin:$PATH i3dconv help inflate'
program=$(command -v i3dconv)
ln -s "$(command -v sh)" "$(command -v sed)" "$(command -v dirname)" "$(command -v basename)" \
    "$(command -v ls)" "$(command -v cat)" "$(command -v rm)" empty
run 'PATH=$PWD/empty '"$program"' help verify | head -n 1' | sed "s|$program|i3dconv|"
run 'i3dconv help nothing'
run 'i3dconv help inflate verify'
