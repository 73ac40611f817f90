# What a recipe does to each layer; nothing is written.
run 'i3dconv zoo synth inception_v1 --classes 10 -o in.h5'
run 'i3dconv inflate in.h5 --explain'
run 'i3dconv zoo synth resnet18 --classes 10 -o net.pt'
run 'i3dconv inflate net.pt --recipe mmaction2-i3d --set "layer1.0.conv2=5" --explain --frames 32'
run 'i3dconv inflate net.pt --like net.pt --explain'
run 'i3dconv inflate in.h5 --explain -o out.onnx'
run 'i3dconv inflate in.h5 --explain --frames 4'
run 'ls -A'
