# What every user sees first.
run 'i3dconv --version'
run 'i3dconv --help'
run 'i3dconv'
for command in convert deflate diff filters head inflate inspect run verify zoo; do
    run "i3dconv $command --help"
done
