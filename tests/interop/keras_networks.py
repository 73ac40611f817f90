"""Networks of Keras layers that the Keras tests share, with random weights."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy
from keras import layers


def sequential():
    return keras.Sequential([
        layers.Input((17, 19, 3)),
        layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", use_bias=False),
        layers.BatchNormalization(scale=False, epsilon=1e-2),
        layers.MaxPooling2D(3, 2, padding="same"),
        layers.ZeroPadding2D(((1, 0), (2, 1))),
        layers.Conv2D(6, (2, 3), dilation_rate=(1, 2)),
        layers.LeakyReLU(),
        layers.AveragePooling2D(2, 1, padding="same"),
        layers.Dropout(0.3),
        layers.Flatten(),
        layers.Dense(12, activation="tanh"),
        layers.Dense(5, activation="softmax"),
    ], name="a_chain")


def branches():
    image = layers.Input((16, 20, 3), name="image")
    stem = layers.Conv2D(8, 3, padding="same", name="stem", activation="relu")(image)
    left = layers.Conv2D(4, 1, name="left")(stem)
    right = layers.BatchNormalization(center=False, name="norm")(stem)
    right = layers.Conv2D(4, (3, 5), padding="same", name="right")(right)
    total = layers.Concatenate(name="both")([left, right])
    total = layers.Add(name="sum")([total, stem])
    gate = layers.GlobalAveragePooling2D(name="squeeze")(total)
    gate = layers.Reshape((1, 1, 8), name="to_pixel")(gate)
    gate = layers.Dense(4, activation="relu", name="reduce")(gate)
    gate = layers.Conv2D(8, 1, activation="sigmoid", name="expand")(gate)
    total = layers.Multiply(name="excite")([total, gate])
    inner = keras.Sequential([layers.Input((16, 20, 8)),
                              layers.Conv2D(8, 3, padding="same"),
                              layers.BatchNormalization(),
                              layers.PReLU(shared_axes=[1, 2])], name="inner")
    total = inner(inner(total))  # one network, called twice
    total = layers.Maximum(name="most")([total, stem])
    total = layers.Permute((2, 1, 3), name="turn")(total)
    total = layers.Reshape((10, 2, 16, 8), name="split")(total)
    total = layers.GlobalMaxPooling3D(name="top")(total)
    return keras.Model(image, layers.Dense(7, name="scores")(total), name="branching")


def separable():
    image = layers.Input((None, None, 3))
    value = layers.Rescaling(1 / 127.5, offset=-1)(image)
    value = layers.SeparableConv2D(8, 3, depth_multiplier=2, padding="same")(value)
    value = layers.BatchNormalization()(value)
    value = layers.Activation("swish")(value)
    value = layers.SeparableConv2D(12, 5, strides=2, activation="elu")(value)
    value = layers.GlobalAveragePooling2D(keepdims=True)(value)
    value = layers.Conv2D(9, 1)(value)
    value = layers.Reshape((9,))(value)
    return keras.Model(image, layers.Softmax()(value))


def depthwise():
    return keras.Sequential([
        layers.Input((24, 24, 4)),
        layers.DepthwiseConv2D(3, strides=2, padding="same", depth_multiplier=3),
        layers.ReLU(max_value=6),
        layers.BatchNormalization(),
        layers.DepthwiseConv2D((5, 3), use_bias=False, activation="hard_sigmoid"),
        layers.ReLU(negative_slope=0.2),
        layers.Conv2D(6, 3, groups=3, padding="same"),
        layers.GlobalMaxPooling2D(),
        layers.Dense(3),
    ])


def video():
    clip = layers.Input((6, 12, 12, 2))
    value = layers.Conv3D(6, (3, 3, 3), strides=(1, 2, 2), padding="same")(clip)
    value = layers.BatchNormalization()(value)
    value = layers.ReLU()(value)
    value = layers.MaxPooling3D((2, 3, 3), (2, 1, 1), padding="same")(value)
    value = layers.ZeroPadding3D(1)(value)
    value = layers.Conv3D(6, 3, groups=6)(value)
    value = layers.AveragePooling3D((1, 2, 2))(value)
    value = layers.Flatten()(value)
    return keras.Model(clip, layers.Dense(4)(value))


def unet():
    """Down and up again, by every way up that is read."""
    image = layers.Input((24, 28, 3))
    first = layers.Conv2D(6, 3, padding="same", activation="relu")(image)
    second = layers.Conv2D(8, 3, padding="same", activation="relu")(layers.MaxPooling2D()(first))
    deep = layers.Conv2D(10, 3, activation="relu")(layers.MaxPooling2D()(second))
    value = layers.Conv2DTranspose(8, 3, activation="relu")(deep)
    value = layers.Conv2DTranspose(8, 3, strides=2, padding="same", use_bias=False)(value)
    value = layers.Concatenate()([value, second])
    value = layers.UpSampling2D(2)(value)
    value = layers.Add()([layers.Conv2D(6, 1)(value), first])
    value = layers.UpSampling2D((2, 3), interpolation="bilinear")(value)
    value = layers.Cropping2D(((3, 1), (0, 2)))(value)
    value = layers.Conv2DTranspose(4, (2, 5), strides=(3, 4), padding="same")(value)
    value = layers.Conv2DTranspose(2, 4, strides=(2, 1), padding="same", dilation_rate=1)(value)
    return keras.Model(image, layers.Activation("sigmoid")(value))


ALL = {"sequential": sequential, "branches": branches, "separable": separable,
       "depthwise": depthwise, "video": video}
READ_ONLY = {"unet": unet}


def fill(model, seed):
    """Random weights of a size that keeps activations in reach; variances stay positive."""
    generator = numpy.random.default_rng(seed)
    values = []
    for weight in model.weights:
        value = generator.standard_normal(weight.shape).astype("f4")
        fan = max(1, int(numpy.prod(weight.shape[:-1])))
        if "variance" in weight.path:
            value = 0.5 + numpy.abs(value)
        elif "kernel" in weight.path:
            value /= numpy.sqrt(fan if "depthwise" not in weight.path
                                else numpy.prod(weight.shape[:2]))
        else:
            value = 0.3 * value + ("gamma" in weight.path)
        values.append(value)
    model.set_weights(values)
    return model


def make(name):
    keras.utils.clear_session()
    return fill((ALL | READ_ONLY)[name](), seed=len(name))


def an_input(model, seed=5):
    shape = [size or 18 for size in model.inputs[0].shape[1:]]
    return numpy.random.default_rng(seed).standard_normal((2, *shape)).astype("f4")


def predict(model, value):
    return numpy.asarray(model(value, training=False))


def channels_first(value):
    return numpy.ascontiguousarray(numpy.moveaxis(value, -1, 1)) if value.ndim > 3 else value
