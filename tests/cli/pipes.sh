# Commands compose; the pipe carries safetensors.
run 'i3dconv zoo synth inception_v1 --seed 7 -o inception_v1.h5'
run 'i3dconv convert inception_v1.h5 -o - | i3dconv inflate - -o - |
    i3dconv verify inception_v1.h5 - --frames 16 --quiet'
run 'i3dconv zoo synth inception_v1 -o - | i3dconv inspect - | head -n 6'
run 'i3dconv inflate inception_v1.h5 --to onnx -o - | i3dconv inspect - | head -n 6'
run 'i3dconv inflate inception_v1.h5 --to hdf5 -o -'
run 'i3dconv inflate inception_v1.h5 --to onnx -o - | head -c 1 >first_byte'
run 'i3dconv inspect - </dev/null'
run 'ls -A'
