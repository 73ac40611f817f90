# The whole job: synthesise, inspect, inflate both streams, verify.
run 'i3dconv zoo synth inception_v1 --seed 7 -o inception_v1.h5'
run 'i3dconv inspect inception_v1.h5'
run 'i3dconv inflate inception_v1.h5 -o i3d_rgb.onnx'
run 'i3dconv inflate inception_v1.h5 --stream flow -o i3d_flow.h5'
run 'i3dconv verify inception_v1.h5 i3d_rgb.onnx --frames 16'
run 'i3dconv inspect i3d_flow.h5 | head -n 12'
run 'i3dconv inspect i3d_rgb.onnx | head -n 12'
run 'ls -A'
