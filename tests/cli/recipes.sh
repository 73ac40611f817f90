# Recipes by name and from files, --set and --init, and recipes that are wrong.
run 'i3dconv zoo synth inception_v1 --classes 10 -o in.h5'
shapes() {
    run "i3dconv inflate in.h5 --to onnx -o - $1 | i3dconv inspect - | grep -E '(Conv_1a_7x7|Mixed_3b/Branch_1/Conv_0b_3x3|Mixed_5c/Branch_0/Conv_0a_1x1)/weight'"
}
shapes '--recipe i3d'
shapes '--recipe framewise'
shapes '--recipe keep-frames'
shapes '--recipe framewise --set "Conv_1a*=5x7x7,stride=2" --set "Mixed_5c*=3"'
cat >own.recipe <<'END'
# only the stem
title  the stem alone
Conv position=1  -> kernel=3 pads=half init=center
*                -> kernel=1 stride=1 pads=0,0
END
shapes '--recipe own.recipe'
shapes '--recipe isotropic --init center'

# What was asked for stays with the result.
run 'i3dconv inflate in.h5 --to onnx -o - --recipe framewise --set "Conv_1a*=5x7x7,stride=2" --set "Mixed_5c*=3" --in-channels 4 --channel-init cycle --init center | i3dconv inspect - | grep metadata | sed "s/$(sha256sum <in.h5 | cut -c1-64)/that of in.h5/"'

run 'i3dconv inflate in.h5 -o out.onnx --recipe sideways'
run 'i3dconv inflate in.h5 -o out.onnx --recipe ./absent.recipe'
run 'i3dconv inflate in.h5 -o out.onnx --recipe mmaction2-i3d'
run 'i3dconv inflate in.h5 -o out.onnx --set "nothing*=3"'
run 'i3dconv inflate in.h5 -o out.onnx --set "Conv_1a*=3x5x5"'
run 'i3dconv inflate in.h5 -o out.onnx --set "Conv_1a*"'
run 'i3dconv inflate in.h5 -o out.onnx --set "Conv_1a*=65"'
run 'i3dconv inflate in.h5 -o out.onnx --set "Conv_1a*=3,depth=1"'
run 'i3dconv inflate in.h5 -o out.onnx --init sideways'
wrong() {
    printf '%s\n' "$1" >wrong.recipe
    run "cat wrong.recipe; i3dconv inflate in.h5 -o out.onnx --recipe wrong.recipe"
}
wrong 'Conv kernel=3'
wrong 'Relu -> kernel=3'
wrong 'Conv -> kernel=0'
wrong 'Conv position=0 -> kernel=3'
wrong 'Conv colour=red -> kernel=3'
wrong 'Conv -> '
wrong '* position=2 -> kernel=3'
wrong 'Conv -> insert=Softmax kernel=2'
run 'ls out.onnx'
