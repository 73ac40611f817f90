"""The backend cases of the onnx package, newer than Debian's: Gelu, GroupNormalization and others.

The package makes them when asked; tests/conformance runs them as it runs Debian's.
"""

import os
import pathlib
import subprocess
import warnings

import common

common.need("numpy", "onnx")

import onnx
from onnx import TensorProto, numpy_helper

SUITES = ("node", "simple", "pytorch-converted", "pytorch-operator")
# Operators that Debian's cases do not have, and how many cases of each have to pass.
NEWER = {"gelu": 4, "group_normalization": 4}


def collect():
    from onnx.backend.test.case import model, node

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # infinities are what some cases are about
        return node.collect_testcases(None) + model.collect_testcases()


def message(value, info):
    """Sequences and optional values are none of what a case of ours holds."""
    if isinstance(value, TensorProto):
        return value
    return numpy_helper.from_array(value, info.name)


def is_tensors(case):
    return all(info.type.HasField("tensor_type")
               for info in (*case.model.graph.input, *case.model.graph.output))


def write(case, folder):
    folder.mkdir(parents=True)
    onnx.save(case.model, folder / "model.onnx")
    for number, (inputs, outputs) in enumerate(case.data_sets):
        data = folder / f"test_data_set_{number}"
        data.mkdir()
        for kind, values, infos in (("input", inputs, case.model.graph.input),
                                    ("output", outputs, case.model.graph.output)):
            for k, (value, info) in enumerate(zip(values, infos)):
                (data / f"{kind}_{k}.pb").write_bytes(message(value, info).SerializeToString())


def test_cases(work):
    for suite in SUITES:
        (work / suite).mkdir()
    cases = [case for case in collect() if case.model is not None and is_tensors(case)]
    for case in cases:
        write(case, work / case.kind / case.name)
    program = pathlib.Path(os.environ["builddir"]) / "tests/conformance/conformance"
    done = subprocess.run([program, work], capture_output=True, text=True)
    lines = done.stdout.splitlines()
    print(f"# onnx {onnx.__version__}: {len(cases)} cases of tensors")
    for line in lines:
        if line.startswith(("not ok", "# ", "conformance:")):
            print("#", line.removeprefix("# "))
    common.require(done.returncode == 0, f"conformance ends with {done.returncode}")
    for name, least in NEWER.items():
        passed = sum(line.startswith("ok ") and f"test_{name}" in line for line in lines)
        common.require(passed >= least, f"{passed} cases of {name} pass, not {least}")


common.main()
