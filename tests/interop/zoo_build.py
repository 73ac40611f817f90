"""zoo build: a set of 200 checkpoints, ten of them broken; kills; other engines."""

import common

common.need("onnx")

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import time

import numpy
import onnx
import onnx.numpy_helper

import slurm
import small_networks
from common import I3DCONV, i3dconv, require

PROOF = ["--frames", "6"]


def entries_of(zoo, count):
    """Writes count networks; returns the manifest's entries for them."""
    entries = []
    for number in range(count):
        family = small_networks.FAMILIES[number % len(small_networks.FAMILIES)]
        name = f"{family.__name__}-{number:03}"
        path = zoo / f"{name}.onnx"
        onnx.save(family(number), path)
        if number % 3 == 1:
            i3dconv("convert", path, "-o", path.with_suffix(".safetensors"))
            path.unlink()
            path = path.with_suffix(".safetensors")
        entries.append({"name": name, "path": path.name, "bytes": path.stat().st_size,
                        "sha256": hashlib.sha256(path.read_bytes()).hexdigest()})
    return entries


def spoil(zoo, entries):
    """Breaks ten entries, each in a way of its own; returns name -> what is to be said."""
    def path(number):
        return zoo / entries[number]["path"]

    def without_hash(number, data):
        path(number).write_bytes(data)
        del entries[number]["sha256"], entries[number]["bytes"]

    reasons = {}
    whole = path(0).read_bytes()
    without_hash(0, whole[:len(whole) // 2])
    reasons[0] = ""
    without_hash(20, b"")
    reasons[20] = "empty"
    without_hash(40, bytes(random.Random(1).randbytes(4096)))
    reasons[40] = ""
    path(60).write_bytes(whole)
    reasons[60] = "SHA-256"
    path(80).unlink()
    reasons[80] = "No such file"
    entries[100]["path"] = "../" + entries[100]["path"]
    reasons[100] = '".."'
    path(120).unlink()
    path(120).mkdir()
    reasons[120] = "directory"
    model = onnx.load(path(140 - 2))
    model.graph.node[0].op_type = "DeformConv"
    onnx.save(model, path(140))
    del entries[140]["sha256"], entries[140]["bytes"]
    reasons[140] = "DeformConv"
    path(160).unlink()
    path(160).symlink_to("/etc/passwd")
    reasons[160] = "out of the zoo"
    entries[180]["recipes"] = ["sideways"]
    reasons[180] = "sideways"
    return {entries[number]["name"]: text for number, text in reasons.items()}


def write_manifest(zoo, entries):
    manifest = zoo / "zoo.json"
    manifest.write_text(json.dumps({"i3dconv_manifest": 1, "name": "small", "entries": entries}))
    return manifest


def products_of(folder):
    """Every product's bytes, by name; sidecars and pages hold times and are left out."""
    return {str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("[!.]*.onnx"))}


def make_zoo(work):
    zoo = work / "zoo"
    if not zoo.exists():
        zoo.mkdir()
        entries = entries_of(zoo, 200)
        reasons = spoil(zoo, entries)
        write_manifest(zoo, entries)
        (work / "reasons.json").write_text(json.dumps(reasons))
    return zoo / "zoo.json", json.loads((work / "reasons.json").read_text())


def test_builds_the_sound_and_reports_the_broken(work):
    manifest, reasons = make_zoo(work)
    report = i3dconv("zoo", "build", manifest, "--out", work / "whole", "--keep-going", "--json",
                     *PROOF, status=1)
    jobs = {job["entry"]: job for job in json.loads(report)}
    require(len(jobs) == 200, f"{len(jobs)} products")
    for name, job in jobs.items():
        if name not in reasons:
            require(job["state"] == "made", f"{name}: {job}")
            require(job["worst_relative_error"] < 1e-5, f"{name}: {job}")
        else:
            require(job["state"] == "FAILED", f"{name} was made")
            print("#", name, job["reason"])
            require(reasons[name] in job["reason"], f"{name}: {job['reason']}")
    require(len(products_of(work / "whole")) == 190, "there are other products than 190")
    page = (work / "whole" / "index.html").read_text()
    require(page.count('class="badge pass"') == 190, "the catalogue shows other products")
    require(page.count('class="badge fail"') == 10, "the catalogue shows other failures")


def test_second_build_keeps_all(work):
    manifest, reasons = make_zoo(work)
    before = {path: path.stat().st_mtime_ns for path in (work / "whole").rglob("*.onnx")}
    report = i3dconv("zoo", "build", manifest, "--out", work / "whole", "--keep-going", "--json",
                     *PROOF, status=1)
    states = [job["state"] for job in json.loads(report)]
    require(states.count("kept") == 190 and states.count("FAILED") == 10, f"{states}")
    after = {path: path.stat().st_mtime_ns for path in (work / "whole").rglob("*.onnx")}
    require(before == after, "something was made again")


def wait_for_products(build, folder, count):
    """Until the build has made that many."""
    while len(list(folder.rglob("[!.]*.onnx"))) < count:
        require(build.poll() is None, f"the build ended before there were {count} products")
        time.sleep(0.001)


def finished_products(folder):
    """When each product was written whose sidecar, which comes last, is there too."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("[!.]*.onnx")
            if path.with_name(path.name + ".json").exists()}


def test_killed_at_twenty_moments(work):
    """Each kill lands in the middle: the build runs, has made something new, and has more to
    make. What was finished is not made again."""
    manifest, _ = make_zoo(work)
    folder = work / "killed"
    chance = random.Random(3)
    command = [I3DCONV, "zoo", "build", str(manifest), "--out", str(folder), "--keep-going",
               "--quiet", *PROOF]
    half_done = count = 0
    finished = {}
    for _ in range(20):
        build = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for_products(build, folder, count + chance.randint(1, 7))
        time.sleep(chance.uniform(0, 0.02))
        build.send_signal(signal.SIGKILL)
        require(build.wait() == -signal.SIGKILL, "the build had ended before the kill")
        before, count = count, len(products_of(folder))
        now = finished_products(folder)
        require(finished.items() <= now.items(), "something was made again")
        finished = now
        half_done += any(folder.rglob(".unverified-*"))
        print("#", count, "products")
        require(before < count < 190, f"killed where {count} products of 190 were made")
    print("#", half_done, "kills left a product half done")
    done = subprocess.run(command, stdout=subprocess.DEVNULL)
    require(done.returncode == 1, f"exit {done.returncode}")
    require(finished.items() <= finished_products(folder).items(), "something was made again")
    require(products_of(folder) == products_of(work / "whole"), "products differ")
    left = [path for path in folder.rglob(".*") if path.name != ".lock"]
    require(not left, f"left behind: {left}")


def test_tells_why_a_proof_fails(work):
    """Large numbers that cancel: what rounding leaves of them in 2D and in 3D differs."""
    zoo = work / "cancels"
    zoo.mkdir()
    builder = small_networks.Builder(5)
    nodes, weights = builder.nodes, builder.weights
    def stored(values):
        weights.append(onnx.numpy_helper.from_array(numpy.array(values, "f4"), f"w{len(weights)}"))
        return weights[-1].name
    twice = builder.node("Conv", "image", stored([[[[1]]] * 3] * 2), kernel_shape=[1, 1])
    large = stored([[numpy.full((3, 3), 1e7), numpy.full((3, 3), -1e7)]])
    gone = builder.node("Conv", twice, large, kernel_shape=[3, 3])
    builder.node("GlobalAveragePool", gone)
    shape = [1, 3, small_networks.SIZE, small_networks.SIZE]
    graph = onnx.helper.make_graph(
        nodes, "cancels", [onnx.helper.make_tensor_value_info("image", 1, shape)],
        [onnx.helper.make_tensor_value_info(nodes[-1].output[0], 1, [1, 1, 1, 1])], weights)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)],
                                     ir_version=8), zoo / "cancels.onnx")
    manifest = write_manifest(zoo, [{"name": "cancels", "path": "cancels.onnx"}])
    job, = json.loads(i3dconv("zoo", "build", manifest, "--out", work / "cancels-out", "--json",
                              *PROOF, status=1))
    print("#", job["reason"])
    require(job["state"] == "FAILED" and "error is" in job["reason"], f"{job}")


def test_changed_source_is_built_again(work):
    zoo = work / "few"
    zoo.mkdir()
    entries = entries_of(zoo, 6)
    manifest = write_manifest(zoo, entries)
    build = ["zoo", "build", manifest, "--out", work / "few-out", "--json", *PROOF]
    i3dconv(*build)
    changed = zoo / entries[3]["path"]
    onnx.save(small_networks.separable(99), changed)
    entries[3].pop("sha256"), entries[3].pop("bytes")
    write_manifest(zoo, entries)
    states = {job["entry"]: job["state"] for job in json.loads(i3dconv(*build))}
    made = [name for name, state in states.items() if state == "made"]
    require(made == [entries[3]["name"]], f"made {made}")
    os.utime(zoo / entries[0]["path"])
    product = work / "few-out" / entries[5]["name"] / "isotropic-rgb.onnx"
    product.write_bytes(product.read_bytes()[:-1] + b"?")
    states = {job["entry"]: job["state"] for job in json.loads(i3dconv(*build))}
    made = [name for name, state in states.items() if state == "made"]
    require(made == [entries[5]["name"]], f"made {made}: a date counts, or damage does not")


def test_a_worker_that_is_killed_costs_its_own_product(work):
    """One whose memory is short: the limit lets the small networks through."""
    zoo = work / "heavy"
    zoo.mkdir()
    entries = entries_of(zoo, 4)
    i3dconv("zoo", "synth", "inception_v1_bvlc", "-o", zoo / "heavy.onnx")
    entries.insert(1, {"name": "heavy", "path": "heavy.onnx", "recipes": ["i3d"]})
    manifest = write_manifest(zoo, entries)
    command = 'ulimit -v 450000; exec "$@"'
    done = subprocess.run(["sh", "-c", command, "sh", I3DCONV, "zoo", "build", str(manifest),
                           "--out", str(work / "heavy-out"), "--keep-going", "--json", "--threads",
                           "1", "--frames", "64"], capture_output=True, stdin=subprocess.DEVNULL)
    states = {job["entry"]: job for job in json.loads(done.stdout)}
    print("#", states["heavy"])
    heavy = states.pop("heavy")
    require(heavy["state"] == "FAILED", "it had memory enough")
    require("memory" in heavy["reason"] or "signal" in heavy["reason"], heavy["reason"])
    require(all(job["state"] == "made" for job in states.values()), f"{states}")


def test_printed_commands_make_the_same_bytes(work):
    """Given to make, to GNU parallel and, as a job array, to Slurm."""
    zoo = work / "forty"
    zoo.mkdir()
    manifest = write_manifest(zoo, entries_of(zoo, 40))
    i3dconv("zoo", "build", manifest, "--out", work / "forty-whole", *PROOF)
    expected = products_of(work / "forty-whole")
    require(len(expected) == 40, f"{len(expected)} products")

    def commands(folder):
        text = i3dconv("zoo", "build", manifest, "--out", folder, "--print-commands", *PROOF)
        require(text.count(b"\n") == 40, f"{text.count(b'/n')} commands")
        return text

    def by_make(folder):
        lines = commands(folder).decode().splitlines()
        rules = "".join(f"job{n}:\n\t{line}\n" for n, line in enumerate(lines))
        (work / "Makefile").write_text("all: " + " ".join(f"job{n}" for n in range(len(lines)))
                                       + "\n" + rules)
        subprocess.run(["make", "-s", "-j2", "-f", work / "Makefile"], check=True,
                       stdout=subprocess.DEVNULL)

    def by_parallel(folder):
        subprocess.run(["parallel", "--will-cite", "-j2"], input=commands(folder), check=True,
                       stdout=subprocess.DEVNULL)

    def by_slurm(folder):
        (work / "commands").write_bytes(commands(folder))
        script = '#!/bin/sh\nsed -n "${SLURM_ARRAY_TASK_ID}p" commands | sh\n'
        with slurm.cluster(work / "slurm") as environment:
            subprocess.run(["sbatch", "--wait", "--array=1-40", "--output=/dev/null"], check=True,
                           input=script.encode(), cwd=work, env=environment,
                           stdout=subprocess.DEVNULL)

    if not shutil.which("parallel") or not slurm.is_there():
        common.lacking("GNU parallel and Slurm")
    for name, engine in (("make", by_make), ("parallel", by_parallel), ("slurm", by_slurm)):
        folder = work / f"forty-{name}"
        engine(folder)
        require(products_of(folder) == expected, f"{name} made other products")
        report = json.loads(i3dconv("zoo", "build", manifest, "--out", folder, "--json", *PROOF))
        require(all(job["state"] == "kept" for job in report), f"{name}: not all are kept")
        require((folder / "index.html").exists(), "there is no catalogue")


common.main()
