# Another network's kernels: FAIL, exit 1, and the first layer is named.
run 'i3dconv zoo synth inception_v1 --seed 1 -o one.h5'
run 'i3dconv zoo synth inception_v1 --seed 2 -o two.h5'
run 'i3dconv inflate two.h5 -o two.onnx'
run 'i3dconv verify one.h5 two.onnx --frames 16 --quiet'
run 'i3dconv verify one.h5 two.onnx --frames 16 | head -n 3'
run 'i3dconv verify one.h5 two.onnx --frames 16 --json | head -n 4'
run 'i3dconv verify two.h5 two.onnx --frames 16 --quiet --tolerance 0'
