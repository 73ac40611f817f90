"""Every operator that image networks use, alone or in the few nodes that exporters write it
in: inflated, it keeps the fixed point in ONNX Runtime for every frame of a boring video."""

import common

common.need("onnx", "onnxruntime")

import numpy
import onnx
from onnx import numpy_helper

import fixed_point
import onnx_tools
from common import i3dconv, require

FRAMES = 9
RECIPES = ["isotropic", "keep-frames", "framewise"]

# (name, opset, weights by shape, the graph from x to y); x is batch×4×12×10.
WINDOWS = [
    ("Conv, grouped, dilated, pads of its own", 13, {"w": (6, 2, 3, 3), "b": (6,)},
     "y = Conv<group=2, dilations=[2,1], pads=[2,1,0,1]>(x, w, b)"),
    ("Conv, depthwise, strided", 13, {"w": (4, 1, 5, 5)},
     "y = Conv<group=4, strides=[2,2], pads=[2,2,2,2]>(x, w)"),
    ("Conv, 1x7 then 7x1", 13, {"w": (4, 4, 1, 7), "v": (4, 4, 7, 1)},
     "a = Conv<pads=[0,3,0,3]>(x, w) y = Conv<pads=[3,0,3,0]>(a, v)"),
    ("Conv, SAME_UPPER", 13, {"w": (4, 4, 3, 3)},
     'y = Conv<auto_pad="SAME_UPPER", strides=[2,2]>(x, w)'),
    ("Conv, SAME_LOWER", 13, {"w": (4, 4, 4, 4)}, 'y = Conv<auto_pad="SAME_LOWER">(x, w)'),
    ("Conv, VALID", 13, {"w": (4, 4, 3, 3)}, 'y = Conv<auto_pad="VALID">(x, w)'),
    ("Conv, one kernel shared", 13, {"w": (4, 4, 3, 3)},
     "a = Conv<pads=[1,1,1,1]>(x, w) y = Conv<pads=[1,1,1,1], strides=[2,2]>(a, w)"),
    ("ConvTranspose 2x2 s2", 13, {"w": (4, 3, 2, 2), "b": (3,)},
     "y = ConvTranspose<strides=[2,2]>(x, w, b)"),
    ("ConvTranspose 3x3 s2, padded", 13, {"w": (4, 3, 3, 3)},
     "y = ConvTranspose<strides=[2,2], pads=[1,1,1,1], output_padding=[1,1]>(x, w)"),
    ("ConvTranspose 4x4 s2, grouped", 13, {"w": (4, 2, 4, 4)},
     "y = ConvTranspose<strides=[2,2], pads=[1,1,1,1], group=2>(x, w)"),
    ("ConvTranspose, dilated", 13, {"w": (4, 3, 3, 3)},
     "y = ConvTranspose<dilations=[2,2]>(x, w)"),
    ("ConvTranspose, SAME_UPPER", 13, {"w": (4, 3, 3, 3)},
     'y = ConvTranspose<strides=[2,2], auto_pad="SAME_UPPER">(x, w)'),
    ("ConvTranspose, SAME_LOWER", 13, {"w": (4, 3, 5, 5)},
     'y = ConvTranspose<strides=[2,2], auto_pad="SAME_LOWER">(x, w)'),
    ("ConvTranspose, VALID", 13, {"w": (4, 3, 3, 3)},
     'y = ConvTranspose<strides=[2,2], auto_pad="VALID">(x, w)'),
    ("ConvTranspose to a size", 13, {"w": (4, 3, 3, 3)},
     "y = ConvTranspose<strides=[2,2], output_shape=[24,20]>(x, w)"),
    ("MaxPool, ceil_mode", 13, {},
     "y = MaxPool<kernel_shape=[3,3], strides=[2,2], ceil_mode=1>(x)"),
    ("MaxPool, dilated", 13, {}, "y = MaxPool<kernel_shape=[3,3], dilations=[2,2]>(x)"),
    ("MaxPool, SAME_UPPER", 13, {},
     'y = MaxPool<kernel_shape=[3,3], strides=[2,2], auto_pad="SAME_UPPER">(x)'),
    ("AveragePool, padding not counted", 13, {},
     "y = AveragePool<kernel_shape=[3,3], pads=[1,1,1,1]>(x)"),
    ("AveragePool, padding counted", 13, {},
     "y = AveragePool<kernel_shape=[3,3], pads=[1,1,1,1], count_include_pad=1>(x)"),
    ("AveragePool, ceil_mode", 13, {},
     "y = AveragePool<kernel_shape=[3,3], strides=[2,2], ceil_mode=1>(x)"),
    ("AveragePool, ceil_mode, padding counted", 19, {},
     "y = AveragePool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1], ceil_mode=1,"
     " count_include_pad=1>(x)"),
    ("AveragePool, dilated", 19, {},
     "y = AveragePool<kernel_shape=[2,2], dilations=[2,2]>(x)"),
    ("AveragePool over all", 13, {}, "y = AveragePool<kernel_shape=[12,10]>(x)"),
    ("LpPool 2", 13, {}, "y = LpPool<kernel_shape=[2,2], strides=[2,2]>(x)"),
    ("LpPool 1, padded", 18, {}, "y = LpPool<kernel_shape=[3,3], pads=[1,1,1,1], p=1>(x)"),
    ("LpPool 3", 18, {}, "y = LpPool<kernel_shape=[3,3], p=3>(x)"),
    ("GlobalAveragePool", 13, {}, "y = GlobalAveragePool(x)"),
    ("GlobalMaxPool", 13, {}, "y = GlobalMaxPool(x)"),
    ("GlobalLpPool 2", 13, {}, "y = GlobalLpPool(x)"),
    ("GlobalLpPool 1", 13, {}, "y = GlobalLpPool<p=1>(x)"),
    ("Pad, constant, ahead of Conv", 13, {"w": (4, 4, 3, 3)},
     "p = Constant<value_ints=[0,0,1,1,0,0,1,1]>() a = Pad(x, p) y = Conv(a, w)"),
    ("Pad, reflect", 13, {},
     'p = Constant<value_ints=[0,0,1,2,0,0,2,1]>() y = Pad<mode="reflect">(x, p)'),
    ("Pad, channels", 13, {}, "p = Constant<value_ints=[0,1,0,0,0,2,0,0]>() y = Pad(x, p)"),
    ("Pad before opset 11", 9, {}, 'y = Pad<mode="edge", pads=[0,0,1,2,0,0,2,1]>(x)'),
    ("Pad of some axes", 18, {},
     "p = Constant<value_ints=[1,2,2,1]>() a = Constant<value_ints=[2,-1]>() v = Constant"
     "<value_float=0.5>() y = Pad(x, p, v, a)"),
]
NORMS = [
    ("BatchNormalization", 13, {"s": (4,), "b": (4,), "m": (4,), "v+": (4,)},
     "y = BatchNormalization(x, s, b, m, v)"),
    ("InstanceNormalization", 13, {"s": (4,), "b": (4,)}, "y = InstanceNormalization(x, s, b)"),
    ("GroupNormalization", 21, {"s": (4,), "b": (4,)},
     "y = GroupNormalization<num_groups=2>(x, s, b)"),
    ("GroupNorm as PyTorch exports it", 13, {"s": (4, 1, 1), "b": (4, 1, 1)},
     "i = Constant<value_ints=[0,2,-1]>() a = Reshape(x, i) o = Constant<value_floats=[1.,1.]>()"
     " z = Constant<value_floats=[0.,0.]>() c = InstanceNormalization(a, o, z)"
     " n = Shape(x) d = Reshape(c, n) e = Mul(d, s) y = Add(e, b)"),
    ("LayerNormalization over channels last", 17, {"s": (4,), "b": (4,)},
     "a = Transpose<perm=[0,2,3,1]>(x) c = LayerNormalization(a, s, b)"
     " y = Transpose<perm=[0,3,1,2]>(c)"),
    ("LayerNormalization over the image", 17, {"s": (4, 12, 10), "b": (4, 12, 10)},
     "y = LayerNormalization<axis=1>(x, s, b)"),
    ("LayerNorm in parts", 13, {"s": (4,), "b": (4,)},
     "a = Transpose<perm=[0,2,3,1]>(x) m = ReduceMean<axes=[-1]>(a) d = Sub(a, m)"
     " two = Constant<value_float=2.0>() q = Pow(d, two) v = ReduceMean<axes=[-1]>(q)"
     " e = Constant<value_float=0.00001>() ve = Add(v, e) r = Sqrt(ve) n = Div(d, r)"
     " t = Mul(n, s) u = Add(t, b) y = Transpose<perm=[0,3,1,2]>(u)"),
    ("LRN", 13, {}, "y = LRN<size=3, alpha=0.1, bias=1.5>(x)"),
    ("LpNormalization", 13, {}, "y = LpNormalization<axis=1, p=2>(x)"),
]
UNARY = {13: ["Abs", "Acos", "Asin", "Atan", "Ceil", "Cos", "Elu", "Erf", "Exp", "Floor",
              "HardSigmoid", "Identity", "LeakyRelu", "Neg", "Reciprocal", "Relu", "Round",
              "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Softplus", "Softsign", "Tan", "Tanh",
              "ThresholdedRelu", "Celu", "Sinh", "Cosh", "Asinh", "Atanh", "Log",
              "Sqrt"],
         20: ["HardSwish", "Mish", "Gelu"]}
POSITIVE = ["Log", "Sqrt"]
ELEMENTS = [
    ("Clip", 13, {}, "l = Constant<value_float=-0.5>() h = Constant<value_float=0.5>()"
     " y = Clip(x, l, h)"),
    ("Clip before opset 11", 9, {}, "y = Clip<min=-0.5, max=0.5>(x)"),
    ("PRelu of channels", 13, {"s": (4, 1, 1)}, "y = PRelu(x, s)"),
    ("Add of channels, rows and all", 13, {"a": (4, 1, 1), "b": (10,), "c": (1, 4, 12, 10)},
     "d = Add(x, a) e = Mul(b, d) y = Sub(e, c)"),
    ("Sum, Min, Max, Mean of several", 13, {"a": (4, 1, 1), "b": (12, 1)},
     "d = Sum(x, a, b) e = Min(d, x) f = Max(e, b) y = Mean(f, x)"),
    ("Where on a comparison", 13, {"a": (4, 1, 1)},
     "c = Greater(x, a) n = Not(c) o = Or(c, n) d = And(c, o) y = Where(d, x, a)"),
    ("Cast to float64 and back", 13, {}, "a = Cast<to=11>(x) y = Cast<to=1>(a)"),
    ("Dropout", 13, {}, "y = Dropout(x)"),
    ("Swish as exported", 13, {}, "a = Sigmoid(x) y = Mul(x, a)"),
    ("Gelu as exported", 13, {},
     "r = Constant<value_float=1.4142135>() a = Div(x, r) b = Erf(a)"
     " o = Constant<value_float=1.0>() c = Add(b, o) d = Mul(x, c)"
     " h = Constant<value_float=0.5>() y = Mul(d, h)"),
    ("Pow of two activations", 13, {}, "a = Sigmoid(x) b = Exp(x) y = Pow(b, a)"),
    ("IsNaN", 13, {}, "a = IsNaN(x) y = Cast<to=1>(a)"),
]
AXES = [
    ("Concat of channels", 13, {}, "a = Relu(x) y = Concat<axis=1>(x, a)"),
    ("Concat of rows", 13, {}, "a = Relu(x) y = Concat<axis=-2>(x, a)"),
    ("Concat with a stored image", 13, {"c": (2, 2, 12, 10)}, "y = Concat<axis=1>(x, c)"),
    ("Split in parts", 13, {}, "s = Constant<value_ints=[1,3]>() a, b = Split<axis=1>(x, s)"
     " c = Relu(b) y = Concat<axis=1>(c, a)"),
    ("Split evenly", 18, {}, "a, b = Split<axis=-1, num_outputs=2>(x) y = Add(a, b)"),
    ("Split before opset 13", 11, {}, "a, b = Split<axis=2, split=[6,6]>(x) y = Add(a, b)"),
    ("Slice of channels and columns", 13, {},
     "s = Constant<value_ints=[1,8]>() e = Constant<value_ints=[4,-11]>()"
     " a = Constant<value_ints=[1,-1]>() t = Constant<value_ints=[1,-2]>()"
     " y = Slice(x, s, e, a, t)"),
    ("Slice of leading axes", 13, {}, "s = Constant<value_ints=[0,1,2]>()"
     " e = Constant<value_ints=[9,4,9]>() y = Slice(x, s, e)"),
    ("Slice before opset 10", 9, {}, "y = Slice<axes=[1,3], starts=[1,2], ends=[3,8]>(x)"),
    ("Gather of channels", 13, {}, "i = Constant<value_ints=[3,0,2]>() y = Gather<axis=1>(x, i)"),
    ("Gather of one channel", 13, {}, "i = Constant<value_int=2>() y = Gather<axis=1>(x, i)"),
    ("Gather of one row", 13, {}, "i = Constant<value_int=2>() y = Gather<axis=2>(x, i)"),
    ("Softmax of channels", 13, {}, "y = Softmax<axis=1>(x)"),
    ("LogSoftmax of columns", 13, {}, "y = LogSoftmax(x)"),
    ("Hardmax of channels", 13, {}, "y = Hardmax<axis=1>(x)"),
    ("ArgMax of channels", 13, {}, "a = ArgMax<axis=1, keepdims=0>(x) y = Cast<to=1>(a)"),
    ("Transpose to channels last and back", 13, {},
     "a = Transpose<perm=[0,2,3,1]>(x) b = Relu(a) y = Transpose<perm=[0,3,1,2]>(b)"),
    ("Transpose of the image", 13, {}, "y = Transpose<perm=[0,1,3,2]>(x)"),
    ("Squeeze and Unsqueeze", 13, {}, "i = Constant<value_ints=[2,3]>() a = GlobalAveragePool(x)"
     " b = Squeeze(a, i) y = Unsqueeze(b, i)"),
    ("Unsqueeze ahead of the image", 13, {}, "i = Constant<value_ints=[1]>()"
     " a = Unsqueeze(x, i) b = Relu(a) y = Squeeze(b, i)"),
    ("DepthToSpace", 13, {}, "y = DepthToSpace<blocksize=2>(x)"),
    ("DepthToSpace, CRD", 13, {}, 'y = DepthToSpace<blocksize=2, mode="CRD">(x)'),
    ("SpaceToDepth", 13, {}, "y = SpaceToDepth<blocksize=2>(x)"),
    ("Pixel shuffle as Reshape and Transpose", 13, {},
     "i = Constant<value_ints=[0,1,2,2,12,10]>() a = Reshape(x, i)"
     " b = Transpose<perm=[0,1,4,2,5,3]>(a) j = Constant<value_ints=[0,1,24,20]>()"
     " y = Reshape(b, j)"),
    ("Tile", 13, {}, "i = Constant<value_ints=[1,2,1,3]>() y = Tile(x, i)"),
    ("Expand", 13, {}, "i = Constant<value_ints=[1,4,12,10]>() a = GlobalMaxPool(x)"
     " y = Expand(a, i)"),
    ("ReduceMean of the image", 13, {}, "y = ReduceMean<axes=[2,3], keepdims=1>(x)"),
    ("ReduceMean of the image, axes behind opset 18", 18, {},
     "i = Constant<value_ints=[-1,-2]>() y = ReduceMean<keepdims=0>(x, i)"),
    ("ReduceMean of channels", 13, {}, "y = ReduceMean<axes=[1], keepdims=1>(x)"),
    ("ReduceMax of channels, axis dropped", 13, {}, "y = ReduceMax<axes=[1], keepdims=0>(x)"),
    ("ReduceSum of the image", 13, {}, "i = Constant<value_ints=[2,3]>() y = ReduceSum(x, i)"),
    ("ReduceL2 of the image", 13, {}, "y = ReduceL2<axes=[2,3], keepdims=0>(x)"),
    ("ReduceLogSumExp of the image", 13, {}, "y = ReduceLogSumExp<axes=[2,3]>(x)"),
    ("ReduceSum of rows, then columns", 13, {},
     "i = Constant<value_ints=[2]>() a = ReduceSum<keepdims=0>(x, i) j = Constant"
     "<value_ints=[2]>() y = ReduceSum<keepdims=0>(a, j)"),
    ("ReduceL1 of each frame's all", 13, {}, "y = ReduceL1<axes=[1,2,3], keepdims=0>(x)"),
]
SIZES = [
    ("channel shuffle", 13, {}, "i = Constant<value_ints=[-1,2,2,12,10]>() a = Reshape(x, i)"
     " b = Transpose<perm=[0,2,1,3,4]>(a) j = Constant<value_ints=[-1,4,12,10]>()"
     " y = Reshape(b, j)"),
    ("channel shuffle with sizes of its own", 13, {},
     "s = Shape(x) z = Constant<value_int=0>() o = Constant<value_int=1>()"
     " two = Constant<value_int=2>() three = Constant<value_int=3>()"
     " n = Gather(s, z) c = Gather(s, o) h = Gather(s, two) w = Gather(s, three)"
     " k = Div(c, two) f = Constant<value_ints=[0]>()"
     " n1 = Unsqueeze(n, f) k1 = Unsqueeze(k, f) t1 = Unsqueeze(two, f) h1 = Unsqueeze(h, f)"
     " w1 = Unsqueeze(w, f) c1 = Unsqueeze(c, f) i = Concat<axis=0>(n1, t1, k1, h1, w1)"
     " a = Reshape(x, i) b = Transpose<perm=[0,2,1,3,4]>(a)"
     " j = Concat<axis=0>(n1, c1, h1, w1) y = Reshape(b, j)"),
    ("squeeze and excite", 13, {"u": (2, 4, 1, 1), "v": (4, 2, 1, 1)},
     "a = GlobalAveragePool(x) b = Conv(a, u) c = Relu(b) d = Conv(c, v) e = HardSigmoid(d)"
     " y = Mul(e, x)"),
    ("squeeze and excite of flat features", 13, {"u": (4, 2), "v": (2, 4)},
     "a = ReduceMean<axes=[2,3], keepdims=0>(x) b = MatMul(a, u) c = Relu(b) d = MatMul(c, v)"
     " e = Sigmoid(d) i = Constant<value_ints=[2,3]>() f = Unsqueeze(e, i) y = Mul(x, f)"),
    ("view(N, -1) and Gemm", 13, {"w": (5, 480), "b": (5,)},
     "s = Shape(x) z = Constant<value_int=0>() n = Gather(s, z) f = Constant<value_ints=[0]>()"
     " n1 = Unsqueeze(n, f) m = Constant<value_ints=[-1]>() i = Concat<axis=0>(n1, m)"
     " a = Reshape(x, i) y = Gemm<transB=1>(a, w, b)"),
    ("Flatten, MatMul and Add", 13, {"w": (480, 5), "b": (5,)},
     "a = Flatten(x) c = MatMul(a, w) y = Add(c, b)"),
    ("MatMul of channels last", 13, {"w": (4, 6), "b": (6,)},
     "a = Transpose<perm=[0,2,3,1]>(x) c = MatMul(a, w) d = Add(c, b)"
     " y = Transpose<perm=[0,3,1,2]>(d)"),
    ("tokens: Reshape, Transpose, MatMul", 13, {"w": (4, 6)},
     "i = Constant<value_ints=[0,4,-1]>() a = Reshape(x, i) b = Transpose<perm=[0,2,1]>(a)"
     " c = MatMul(b, w) y = ReduceMean<axes=[1], keepdims=0>(c)"),
    ("ConstantOfShape of the image's size", 13, {},
     "s = Shape(x) c = ConstantOfShape(s) a = Exp(x) y = Add(a, c)"),
    ("a size as a number", 13, {}, "s = Shape(x) i = Constant<value_int=3>() a = Gather(s, i)"
     " b = Cast<to=1>(a) y = Div(x, b)"),
]
RESAMPLED = [
    ("Resize nearest, scales", 13, {"r:": [1, 1, 2, 2]},
     'n = Constant<value_floats=[0.0]>() y = Resize<mode="nearest", coordinate_transformation_'
     'mode="asymmetric", nearest_mode="floor">(x, n, r)'),
    ("Resize linear, sizes of the input", 13, {"r:": [1, 1, 2, 2]},
     "s = Shape(x) a = Constant<value_ints=[0]>() b = Constant<value_ints=[2]>()"
     " nc = Slice(s, a, b) hw = Constant<value_ints=[24,20]>() i = Concat<axis=0>(nc, hw)"
     ' y = Resize<mode="linear", coordinate_transformation_mode="half_pixel">(x, , , i)'),
    ("Resize linear, align_corners", 13, {"r:": [1, 1, 2, 2]},
     'y = Resize<mode="linear", coordinate_transformation_mode="align_corners">(x, , r)'),
    ("Resize cubic", 13, {"r:": [1, 1, 2, 2]},
     'y = Resize<mode="cubic", coordinate_transformation_mode="half_pixel">(x, , r)'),
    ("Resize cubic to sizes", 13, {},
     "s = Shape(x) a = Constant<value_ints=[0]>() b = Constant<value_ints=[2]>()"
     " nc = Slice(s, a, b) hw = Constant<value_ints=[24,20]>() i = Concat<axis=0>(nc, hw)"
     ' y = Resize<mode="cubic", coordinate_transformation_mode="half_pixel">(x, , , i)'),
    ("Resize of two axes", 18, {"r:": [2, 2]},
     'y = Resize<mode="linear", axes=[2,3]>(x, , r)'),
    ("Resize of two axes to sizes", 18, {},
     'i = Constant<value_ints=[24,20]>() y = Resize<mode="nearest", axes=[2,3]>(x, , , i)'),
    ("Resize at opset 10", 10, {"r:": [1, 1, 2, 2]}, 'y = Resize<mode="nearest">(x, r)'),
    ("Upsample", 9, {"r:": [1, 1, 2, 2]}, 'y = Upsample<mode="linear">(x, r)'),
    ("Upsample before opset 9", 7, {},
     'y = Upsample<mode="nearest", scales=[1.0,1.0,2.0,2.0]>(x)'),
]


def filled(name, shape, generator):
    """A weight of that shape; a name that ends in + stands for positive values, and one
    that ends in : for the values themselves."""
    if name.endswith(":"):
        values = numpy.array(shape)
    else:
        values = generator.standard_normal(shape) * 0.5
        values = numpy.abs(values) + 0.5 if name.endswith("+") else values
    return numpy_helper.from_array(values.astype("f4"), name.rstrip("+:"))


def build(path, opset, weights, body, image):
    generator = numpy.random.default_rng(5)
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : {opset}]> '
        f"one (float[batch,4,12,10] x) => (float y) {{ {body} }}")
    model.graph.initializer.extend(filled(*weight, generator) for weight in weights.items())
    model.graph.output[0].type.tensor_type.ClearField("shape")
    made = onnx_tools.run(model, image)[0]
    model.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info(
        "y", onnx.TensorProto.FLOAT, ["batch", *made.shape[1:]]))
    onnx.save(model, path)
    return path


def check(work, case, recipe):
    name, opset, weights, body = case
    image = numpy.random.default_rng(7).uniform(0.05, 0.95, (2, 4, 12, 10)).astype("f4")
    if name not in POSITIVE:
        image[:, ::2] -= 0.5
    flat = build(work / "flat.onnx", opset, weights, body, image)
    inflated = work / "inflated.onnx"
    i3dconv("inflate", flat, "-o", inflated, "--recipe", recipe, "--frames", FRAMES,
            "--temporal-padding", "edge", quiet=True)
    onnx.checker.check_model(str(inflated), full_check=True)
    return fixed_point.compare(fixed_point.Flat(flat, image), inflated, FRAMES)[0]


def check_all(work, cases):
    failed = []
    for case in cases:
        for recipe in RECIPES:
            try:
                print(f"# {case[0]:44} {recipe:12} {check(work, case, recipe):8.1e}", flush=True)
            except Exception as failure:  # the table goes on
                print(f"# {case[0]:44} {recipe:12} FAILED:", *str(failure).splitlines())
                failed.append(case[0])
    require(not failed, f"failed: {sorted(set(failed))}")


def test_kernels_and_pools(work):
    check_all(work, WINDOWS)


def test_normalisation(work):
    check_all(work, NORMS)


def test_elements(work):
    unary = [(name, opset, {}, f"y = {name}(x)") for opset, names in UNARY.items()
             for name in names]
    check_all(work, unary + ELEMENTS)


def test_axes(work):
    check_all(work, AXES)


def test_sizes(work):
    check_all(work, SIZES)


def test_resampling(work):
    check_all(work, RESAMPLED)


common.main()
