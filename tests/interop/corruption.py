"""verify has to notice what is wrong in a 3D file, and name the layer."""

import common

common.need("onnx", "onnxruntime", "h5py")

import os
import pty
import shutil
import subprocess

import h5py
import onnx

import onnx_tools
from common import i3dconv, require, verify

UNIT = "Mixed_4c/Branch_1/Conv_0b_3x3"
KERAS_UNIT = "Conv3d_4c_1b_3x3"


def prepare(work):
    flat = work / "flat.h5"
    if not flat.exists():
        i3dconv("zoo", "synth", "inception_v1", "--seed", 9, "-o", flat)
        i3dconv("inflate", flat, "-o", work / "good.onnx")
        i3dconv("inflate", flat, "-o", work / "good.h5")
    return flat


def require_named(verdict, name):
    require(verdict.startswith("FAIL") and name in verdict, f"{verdict!r} does not name {name}")


def require_onnx_noticed(work, spoil):
    """Spoils the 3x3x3 kernel O×I×T×H×W in the middle of the network."""
    flat = prepare(work)
    model = onnx.load(work / "good.onnx")
    kernels = [(node, kernel) for node, kernel in onnx_tools.convolutions(model)
               if kernel.shape[2] == 3]
    node, kernel = kernels[len(kernels) // 2]
    kernel = kernel.copy()
    spoil(kernel)
    onnx_tools.replace_weight(model, node.input[1], kernel)
    onnx.save(model, work / "bad.onnx")
    require_named(verify(flat, work / "bad.onnx", status=1), node.output[0])


def test_untouched_copy_passes(work):
    """The way of spoiling a file does not itself make verify fail."""
    flat = prepare(work)
    onnx.save(onnx.load(work / "good.onnx"), work / "copy.onnx")
    verify(flat, work / "copy.onnx")
    verify(flat, work / "good.h5")


def shown_on_a_terminal(*arguments, **variables):
    """What i3dconv prints there."""
    ours, its = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", **variables}
    with subprocess.Popen([common.I3DCONV, *map(str, arguments)], stdout=its, env=environment):
        os.close(its)
        shown = b""
        try:
            while piece := os.read(ours, 65536):
                shown += piece
        except OSError:  # how Linux tells the end
            pass
    os.close(ours)
    return shown


def test_colour_on_terminals_only(work):
    command = ["verify", prepare(work), work / "good.onnx", "--audit"]
    require(b"\033[32mok\033[0m" in shown_on_a_terminal(*command, NO_COLOR=""), "no colour")
    require(b"\033" not in shown_on_a_terminal(*command, NO_COLOR="1"), "NO_COLOR is not heeded")
    require(b"\033" not in shown_on_a_terminal(*command, TERM="dumb"), "colour on a dumb terminal")
    require(b"\033" not in i3dconv(*command), "colour in a pipe")


def test_slice_scaled(work):
    def spoil(kernel):
        kernel[:, :, 1] *= 1.01
    require_onnx_noticed(work, spoil)


def test_uneven_slices_of_the_right_sum(work):
    def spoil(kernel):
        kernel[:, :, 0] *= 1.5
        kernel[:, :, 2] *= 0.5
    require_onnx_noticed(work, spoil)


def test_kernel_not_divided(work):
    def spoil(kernel):
        kernel *= 3
    require_onnx_noticed(work, spoil)


def test_two_output_channels_swapped(work):
    def spoil(kernel):
        kernel[[0, 1]] = kernel[[1, 0]]
    require_onnx_noticed(work, spoil)


def test_two_input_channels_swapped(work):
    def spoil(kernel):
        kernel[:, [0, 1]] = kernel[:, [1, 0]]
    require_onnx_noticed(work, spoil)


def test_one_weight_one_bit_off(work):
    def spoil(kernel):
        kernel.view("u4")[0, 0, 0, 0, 0] ^= 1
    require_onnx_noticed(work, spoil)


def require_hdf5_noticed(work, dataset, change):
    flat = prepare(work)
    shutil.copyfile(work / "good.h5", work / "bad.h5")
    with h5py.File(work / "bad.h5", "r+") as file:
        file[dataset][...] = change(file[dataset][()])
    require_named(verify(flat, work / "bad.h5", status=1), UNIT)


def test_one_batch_norm_mean_off(work):
    def change(mean):
        mean[5] += 0.1
        return mean
    layer = f"{KERAS_UNIT}_bn"
    require_hdf5_noticed(work, f"{layer}/{layer}/moving_mean:0", change)


def test_one_batch_norm_variance_off(work):
    def change(variance):
        variance[5] *= 1.1
        return variance
    layer = f"{KERAS_UNIT}_bn"
    require_hdf5_noticed(work, f"{layer}/{layer}/moving_variance:0", change)


def test_hdf5_slice_scaled(work):
    def change(kernel):
        kernel[1] *= 1.01
        return kernel
    layer = f"{KERAS_UNIT}_conv"
    require_hdf5_noticed(work, f"{layer}/{layer}/kernel:0", change)


def test_pool_of_another_size(work):
    """What a pool spans in time is the recipe's choice; over height it is the 2D one's."""
    flat = prepare(work)
    model = onnx.load(work / "good.onnx")
    node = next(node for node in model.graph.node if node.op_type == "MaxPool")
    kernel = next(attribute for attribute in node.attribute if attribute.name == "kernel_shape")
    require(list(kernel.ints) == [1, 3, 3], f"the kernel is {list(kernel.ints)}")
    kernel.ints[1] = 2
    onnx.save(model, work / "bad.onnx")
    require_named(verify(flat, work / "bad.onnx", status=1), "MaxPool_2a_3x3")


common.main()
