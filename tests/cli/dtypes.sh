# Another element type: rounded, and told where it cannot hold a number.
run 'i3dconv zoo synth inception_v1 --seed 7 --classes 10 -o net.h5'
run 'i3dconv convert net.h5 -o half.onnx --dtype float16'
run 'i3dconv inspect half.onnx | grep -e ^input -e ^output -e "^Conv_1a_7x7/"'
run 'i3dconv convert net.h5 -o double.safetensors --dtype float64'
run 'i3dconv convert double.safetensors -o again.h5 --dtype float32 --dialect keras-inception_v1'
run 'cmp net.h5 again.h5'
run 'i3dconv convert net.h5 -o brain.h5 --dtype bfloat16 --dialect tf-slim-inception_v1'
run 'i3dconv inspect brain.h5 | tail -n 1'
run 'i3dconv convert net.h5 -o x.h5 --dtype int8'

# 70000 is beyond float16, 65519 rounds to its largest number, 65520 does not.
"$PYTHON" - <<'PYTHON' || skip 'no numpy'
import json, struct, numpy
values = {"big": [70000, 1, -65520, float("inf"), float("nan")], "fits": [65519, -65504, 0, 1, 2],
          "wide": [1e39, 1, 1, 1, -1e300]}
header, body = {}, b""
for name, numbers in values.items():
    kind = "F64" if name == "wide" else "F32"
    data = numpy.array(numbers, "<f8" if name == "wide" else "<f4").tobytes()
    header[name] = {"dtype": kind, "shape": [5], "data_offsets": [len(body), len(body) + len(data)]}
    body += data
text = json.dumps(header).encode()
open("edges.safetensors", "wb").write(struct.pack("<Q", len(text)) + text + body)
PYTHON
run 'i3dconv convert edges.safetensors -o half.safetensors --dtype float16'
run 'i3dconv inspect half.safetensors --stats | tail -n 3'
run 'i3dconv convert edges.safetensors -o single.safetensors --dtype float32'
run 'i3dconv convert edges.safetensors -o brain.safetensors --dtype bfloat16'
