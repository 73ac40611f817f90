# Valid files that do not fit what is asked: exit code 4.
run 'i3dconv zoo synth inception_v1 --classes 10 -o flat.h5'
run 'i3dconv inflate flat.h5 -o inflated.onnx'
run 'i3dconv inflate inflated.onnx -o twice.onnx'
run 'i3dconv verify inflated.onnx inflated.onnx --frames 16'
run 'i3dconv verify flat.h5 flat.h5 --frames 16'
run 'i3dconv convert inflated.onnx --dialect keras-inception_v1 -o out.h5'
run 'ls -A'
