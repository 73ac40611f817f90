"""Photographs as input: pixels and resampling as Pillow has them, and damaged files."""

import common

common.need("PIL", "numpy")

import random
import subprocess

import numpy
from PIL import Image

from common import I3DCONV, i3dconv, require

SIZE = 224


def prepare(work):
    if (work / "flat.h5").exists():
        return
    i3dconv("zoo", "synth", "inception_v1", "--seed", 1, "-o", work / "flat.h5")
    y, x = numpy.mgrid[0:150, 0:420]
    waves = [127 + 100 * numpy.sin(x / 17), 127 + 90 * numpy.cos(y / 23), x * y % 256]
    image = Image.fromarray(numpy.stack(waves, -1).clip(0, 255).astype("u1"))
    image.save(work / "wide.png")
    image.save(work / "wide.jpg", quality=95)
    image.save(work / "progressive.jpg", progressive=True)
    image.rotate(90, expand=True).resize((500, 900)).save(work / "tall.png")
    image.convert("P").save(work / "palette.png")
    image.convert("L").save(work / "grey.jpg")
    Image.fromarray(numpy.full((9, 9, 4), 128, "u1")).save(work / "half.png")


def input_made_of(work, path, *options):
    """What the network reads, 1×3×H×W."""
    i3dconv("verify", work / "flat.h5", "--image", path, "--dump", work / "values.npz", "--quiet",
            *options, quiet=True)
    values = numpy.load(work / "values.npz")
    return next(values[name] for name in values.files if values[name].shape == (1, 3, SIZE, SIZE))


def expected_from(path):
    """The middle, as large as it can be, by Pillow's bilinear filter: 0 … 255, 3×H×W."""
    image = Image.open(path).convert("RGB")
    side = min(image.size)
    left, top = ((length - side) / 2 for length in image.size)
    image = image.resize((SIZE, SIZE), Image.BILINEAR, box=(left, top, left + side, top + side))
    return numpy.asarray(image, "f8").transpose(2, 0, 1)


def test_pixels_are_pillows(work):
    """But for its rounding to whole numbers after each of two passes."""
    prepare(work)
    for name in ("wide.png", "wide.jpg", "progressive.jpg", "tall.png", "palette.png", "grey.jpg"):
        ours = (input_made_of(work, work / name)[0].astype("f8") + 1) * 127.5
        worst = numpy.abs(ours - expected_from(work / name)).max()
        print(f"# {name}: off by {worst:.2f} of 255")
        require(worst < 1.5, f"{name} is off by {worst:.2f}")


def test_preprocessing_is_applied(work):
    prepare(work)
    settings = ('{"channel_order": "BGR", "scale": 0.5, "mean": [1, 2, 3], "std": [2, 4, 8], '
                '"size": [224, 224]}')
    ours = input_made_of(work, work / "wide.png", "--preprocessing", settings)[0]
    numbers = numpy.array([[1, 2, 3], [2, 4, 8]], "f8")[:, :, None, None]
    expected = (expected_from(work / "wide.png")[::-1] * 0.5 - numbers[0]) / numbers[1]
    require(numpy.abs(ours - expected).max() < 0.4, "not (pixel × scale − mean) / std")


def test_transparency_is_laid_on_black(work):
    prepare(work)
    ours = (input_made_of(work, work / "half.png") + 1) * 127.5
    require(ours.max() < 128 and ours.min() > 0, f"{ours.min()} … {ours.max()}")


def test_damaged_files(work):
    """One line and exit 3 or 4, or a picture: never a crash."""
    prepare(work)
    generator = random.Random(5)
    for number in range(40):
        path = work / ("wide.png", "wide.jpg", "progressive.jpg", "palette.png")[number % 4]
        content = bytearray(path.read_bytes())
        for _ in range(generator.randint(1, 4)):
            where = generator.randrange(generator.choice((64, 700, len(content))))
            content[min(where, len(content) - 1)] = generator.randrange(256)
        if generator.random() < 0.3:
            del content[generator.randrange(9, len(content)):]
        (work / "damaged").write_bytes(content)
        done = subprocess.run([I3DCONV, "verify", work / "flat.h5", "--image", work / "damaged",
                               "--dump", work / "values.npz"], capture_output=True)
        said = done.stderr.decode(errors="replace")
        require(done.returncode in (0, 3, 4) and said.count("\n") == (done.returncode > 0),
                f"mutation {number}: exit {done.returncode}: {said}")


common.main()
