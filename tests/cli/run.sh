# The forward pass on arrays: summaries, classes, features, layouts, two streams.
array() { # NAME SHAPE BYTES: a .npy of zeros
    header="{'descr': '<f4', 'fortran_order': False, 'shape': ($2), }"
    printf '\223NUMPY\001\000\166\000%-117s\n' "$header" >"$1"
    head -c "$3" /dev/zero >>"$1"
}
array image.npy '1, 3, 224, 224' 602112
array last.npy '224, 224, 3' 602112
array clip.npy '16, 224, 224, 3' 9633792
array flow.npy '16, 224, 224, 2' 6422528
run 'i3dconv zoo synth inception_v1 --seed 7 --classes 5 -o net.h5'
run 'i3dconv run net.h5 image.npy'
run 'i3dconv run net.h5 image.npy --top 2'
run 'i3dconv run net.h5 last.npy --layout HWC --top 2'
printf 'one\ntwo\nthree\nfour\nfive' >labels
run 'i3dconv run net.h5 image.npy --top 5 --labels labels --engine reference'
run 'i3dconv run net.h5 image.npy --output Mixed_5c/Concat -o features.npy'
run 'i3dconv inspect features.npy | tail -n 1'
run 'i3dconv run net.h5 image.npy -o logits.npy --threads 1; i3dconv run net.h5 image.npy -o - | cmp - logits.npy'
run 'i3dconv inflate net.h5 -o rgb.onnx && i3dconv inflate net.h5 --stream flow -o flow.onnx'
run 'i3dconv run rgb.onnx clip.npy --layout THWC --top 1 --labels labels'
run 'i3dconv run rgb.onnx flow.onnx --rgb clip.npy --flow flow.npy --layout THWC --top 1'

run 'i3dconv inflate net.h5 --two-stream pair && ls pair && cmp pair/rgb.onnx rgb.onnx && cmp pair/flow.onnx flow.onnx'
run 'sed "s/$(sha256sum <net.h5 | cut -c1-64)/that of net.h5/" pair/two_stream.json'
run 'i3dconv run pair/two_stream.json --rgb clip.npy --flow flow.npy --layout THWC --top 1'
echo '{"two_stream": 1, "rgb": "../rgb.onnx", "flow": "flow.onnx"}' >pair/bad.json
run 'i3dconv run pair/bad.json --rgb clip.npy --flow flow.npy'
run 'i3dconv inflate net.h5 --two-stream labels'
run 'i3dconv inflate net.h5 --two-stream pair --stream flow'

# Some frames at a time: what the whole clip gives.
run 'i3dconv run rgb.onnx clip.npy --layout THWC --window all -o whole.npy; for frames in 3 8; do i3dconv run rgb.onnx clip.npy --layout THWC --window $frames -o windows.npy && cmp windows.npy whole.npy; done'
run 'i3dconv run rgb.onnx clip.npy --layout THWC --window all --output Mixed_4b/Concat -o whole.npy; i3dconv run rgb.onnx clip.npy --layout THWC --window 5 --output Mixed_4b/Concat -o - | cmp - whole.npy'
run 'i3dconv run rgb.onnx flow.onnx --rgb clip.npy --flow flow.npy --layout THWC --top 1 --window 4'
run 'i3dconv run rgb.onnx clip.npy --layout THWC --window 0'
run 'i3dconv run rgb.onnx clip.npy --layout THWC --window 4 --output nothing'
run 'head -c 9633791 clip.npy >short.npy; i3dconv run rgb.onnx short.npy --layout THWC --window 4'

run 'i3dconv run net.h5'
run 'i3dconv run net.h5 last.npy'
run 'i3dconv run net.h5 image.npy --layout NCHX'
run 'i3dconv run net.h5 image.npy --output nothing'
run 'i3dconv run net.h5 image.npy --top 2 --output Mixed_5c/Concat'
printf 'one\n' >labels
run 'i3dconv run net.h5 image.npy --top 2 --labels labels'
run 'i3dconv run net.h5 net.h5'
run 'i3dconv run net.h5 absent.npy'
run 'head -c 1000 image.npy >short.npy; i3dconv run net.h5 short.npy'
run 'i3dconv run rgb.onnx flow.onnx --rgb clip.npy'
