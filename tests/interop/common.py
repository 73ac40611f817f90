"""What the interop tests share: running i3dconv, stating what must hold, reporting.

A test script defines functions test_*(work), where work is an empty folder of
the script's own, and ends with common.main(). It reports in TAP, as tests/run
reads it. The environment: I3DCONV is the program under test.
"""

import importlib.util
import inspect
import os
import pathlib
import subprocess
import sys
import tempfile
import traceback

I3DCONV = os.environ.get("I3DCONV", "i3dconv")
TOLERANCE = 1e-4  # relative to the largest value: what the runtimes have to agree to


class Skipped(Exception):
    """Raised by a test that lacks what it needs."""


def lacking(what):
    """Skips a test, but not in CI: there everything has to be installed."""
    if os.environ.get("CI"):
        raise AssertionError(f"{what} is missing, and CI has to have it")
    raise Skipped(f"no {what}")


def need(*packages):
    """Ends the script with a skip if a Python package is missing."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if not missing:
        return
    try:
        lacking("Python package " + ", ".join(missing))
    except Skipped as reason:
        print(f"ok 1 - {script_name()} # SKIP {reason}")
    except AssertionError as reason:
        print(f"not ok 1 - {script_name()}: {reason}")
        sys.exit(1)
    sys.exit(0)


def require(condition, message):
    if not condition:
        raise AssertionError(message)


def i3dconv(*arguments, status=0, stdin=None, quiet=False):
    """Runs i3dconv and returns its standard output as bytes; fails on another status."""
    words = [str(argument) for argument in arguments]
    if not quiet:
        print("# i3dconv", *(word.rpartition("/")[2] for word in words), flush=True)
    done = subprocess.run([I3DCONV, *words], input=stdin, capture_output=True)
    if done.returncode != status:
        said = (done.stdout[-2000:] + done.stderr).decode(errors="replace")
        raise AssertionError(f"exit {done.returncode} where {status} was expected\n{said}")
    return done.stdout


MEASURE = """import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"""


def peak_memory(*arguments):
    """Bytes that a run of i3dconv is resident with at most. The process between is small: a
    child of this one would inherit its peak."""
    done = subprocess.run([sys.executable, "-S", "-c", MEASURE, I3DCONV, *map(str, arguments)],
                          capture_output=True, check=True)
    return int(done.stdout) * 1024


def refusal(*arguments, status):
    """The one line in which i3dconv refuses something with that status."""
    done = subprocess.run([I3DCONV, *map(str, arguments)], capture_output=True)
    said = done.stderr.decode()
    require(done.returncode == status and not done.stdout and said.count("\n") == 1,
            f"exit {done.returncode} where {status} was expected: {said}")
    return said


def verify(flat, inflated, status=0, frames=16):
    """Runs i3dconv verify; returns its last line: the verdict."""
    report = i3dconv("verify", flat, inflated, "--frames", frames, status=status).decode()
    verdict = report.rstrip().rpartition("\n")[2]
    print("#", verdict)
    return verdict


def inflate_and_verify(flat, inflated, *options, frames=16):
    i3dconv("inflate", flat, "-o", inflated, *options)
    verdict = verify(flat, inflated, frames=frames)
    require(verdict.startswith("PASS"), verdict)
    return inflated


def relative_error(actual, expected):
    """The largest difference, relative to the largest expected value."""
    import numpy

    require(actual.shape == expected.shape, f"shapes {actual.shape} and {expected.shape}")
    require(numpy.isfinite(actual).all(), "not all values are finite")
    scale = numpy.abs(expected).max()
    require(scale > 0, "all expected values are zero")
    return float(numpy.abs(actual.astype("f8") - expected).max() / scale)


def require_close(actual, expected, what):
    error = relative_error(actual, expected)
    print(f"# {what}: relative error {error:.1e}")
    require(error <= TOLERANCE, f"{what}: relative error {error:.1e} is above {TOLERANCE:.0e}")


def script_name():
    return pathlib.Path(sys.argv[0]).stem


def run_test(test, work):
    """One test's TAP line and whether it held."""
    name = test.__name__[len("test_"):]
    try:
        test(work)
    except Skipped as reason:
        return f"{name} # SKIP {reason}", True
    except Exception:  # whatever went wrong, the other tests still run
        for line in traceback.format_exc().splitlines():
            print("#", line)
        return name, False
    return name, True


def main():
    """Runs every test_* function of the script, in the order they are written."""
    script = sys.modules["__main__"]
    tests = [member for name, member in inspect.getmembers(script, inspect.isfunction)
             if name.startswith("test_")]
    tests.sort(key=lambda test: test.__code__.co_firstlineno)
    failed = 0
    print(f"1..{len(tests)}", flush=True)
    with tempfile.TemporaryDirectory(prefix="i3dconv-interop-") as folder:
        for number, test in enumerate(tests, 1):
            line, good = run_test(test, pathlib.Path(folder))
            failed += not good
            print(f"{'ok' if good else 'not ok'} {number} - {line}", flush=True)
    sys.exit(1 if failed else 0)
