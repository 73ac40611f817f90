# What is no model is exit code 3, one line that names the file; what the system will not
# give is 5. Nothing is left behind.
run 'i3dconv zoo synth inception_v1 --classes 10 -o good.h5'
run 'i3dconv inflate good.h5 -o good.onnx'
run 'i3dconv inflate good.h5 -o good.safetensors'
head -c 1000000 good.h5 >truncated.h5
head -c 1000000 good.onnx >truncated.onnx
head -c 1000000 good.safetensors >truncated.safetensors
: >empty.h5
echo 'no model at all, but text' >text.onnx
head -c 100000 /dev/zero >zeros.h5
awk 'BEGIN { srand(1); for (i = 0; i < 20000; i++) printf "%c", 1 + int(rand() * 126) }' >random.onnx
mkdir directory.h5
mkdir -p unreadable
run 'i3dconv inspect missing.h5'
for file in truncated.h5 truncated.onnx truncated.safetensors empty.h5 text.onnx zeros.h5 \
    random.onnx directory.h5 /dev/null; do
    run "i3dconv inspect $file"
    run "i3dconv inflate $file -o out.onnx"
done
run 'i3dconv convert missing.h5 -o out.onnx'
run 'i3dconv verify good.h5 missing.onnx'
run 'i3dconv verify missing.h5 good.onnx'
run 'ls -A'
