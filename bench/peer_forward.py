"""Forward passes by another runtime, on two threads.

    peer_forward.py onnxruntime|openvino|torch|sgemm MODEL.onnx INPUT.npy RUNS

Prints JSON: seconds of every run behind a first one, the runtime's version and the kernels it
takes. sgemm is OpenBLAS' rate instead: GFLOP/s of products of 2048 × 2048 matrices.
"""

import json
import sys
import time

THREADS = 2


def flags():
    """The widest vectors of this processor: what runtimes that say nothing choose by."""
    for line in open("/proc/cpuinfo"):
        if line.startswith("flags"):
            words = line.split()
            return next((name for name in ("avx512f", "avx2", "avx") if name in words), "sse2")
    return "unknown"


def onnxruntime(model, array):
    import onnxruntime as runtime

    options = runtime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.inter_op_num_threads = 1
    session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: array}
    return (lambda: session.run(None, feed)), runtime.__version__, f"MLAS for {flags()}"


def openvino(model, array):
    import openvino as runtime

    core = runtime.Core()
    network = core.read_model(model)
    network.reshape(list(array.shape))
    compiled = core.compile_model(network, "CPU", {
        "INFERENCE_NUM_THREADS": THREADS, "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY"})
    request = compiled.create_infer_request()
    kinds = set()
    for node in compiled.get_runtime_model().get_ops():
        info = node.get_rt_info()
        if info["layerType"].astype(str) == "Convolution":
            kinds.add(info["primitiveType"].astype(str))
    return (lambda: request.infer([array])), runtime.__version__, ", ".join(sorted(kinds))


def torch(model, array):
    import torch as runtime

    import torch_graph

    runtime.set_num_threads(THREADS)
    run = torch_graph.load(model)
    tensor = runtime.from_numpy(array)

    def once():
        with runtime.no_grad():
            return run(tensor)

    config = runtime.__config__.show()
    capability = next((line.split(": ")[1] for line in config.splitlines()
                       if "CPU capability" in line), flags())
    return once, runtime.__version__, capability


RUNTIMES = {"onnxruntime": onnxruntime, "openvino": openvino, "torch": torch}


def openblas():
    """cblas_sgemm of the library that i3dconv is linked with."""
    import ctypes

    import numpy

    library = ctypes.CDLL("libopenblas.so.0")
    library.openblas_set_num_threads(THREADS)
    library.openblas_get_corename.restype = ctypes.c_char_p
    library.openblas_get_config.restype = ctypes.c_char_p
    size = 2048
    a, b = (numpy.random.default_rng(k).standard_normal((size, size)).astype("f4")
            for k in range(2))
    c = numpy.empty_like(a)
    pointers = [ctypes.c_void_p(array.ctypes.data) for array in (a, b, c)]
    one, zero, side = ctypes.c_float(1), ctypes.c_float(0), ctypes.c_int(size)

    def once():
        library.cblas_sgemm(101, 111, 111, side, side, side, one, pointers[0], side, pointers[1],
                            side, zero, pointers[2], side)

    version = library.openblas_get_config().decode().split()[1]
    return once, version, library.openblas_get_corename().decode(), 2e-9 * size ** 3


def main(name, model, array, runs):
    import numpy

    work = 0
    if name == "sgemm":
        once, version, kernels, work = openblas()
    else:
        once, version, kernels = RUNTIMES[name](model, numpy.load(array))
    once()
    seconds = []
    for _ in range(int(runs)):
        start = time.perf_counter()
        once()
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"seconds": seconds, "version": version, "kernels": kernels,
                      "gflop": work}))


main(*sys.argv[1:])
