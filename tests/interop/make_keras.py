"""Writes tests/interop/keras/VERSION-NAME: small models with random weights, and what Keras says of some rows.

Run once with Keras 3.12.0 (KERAS_BACKEND=jax, jax 0.10.2) and once with tensorflow-cpu 2.15.1, whose Keras is
2.15.0: python make_keras.py; with "graphs" behind it only those made of branches."""

import json
import os
import pathlib
import sys
import warnings

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
warnings.filterwarnings("ignore")
import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras import layers as L  # noqa: E402

keras.backend.set_floatx("float32")
version = keras.__version__
is_three = version.startswith("3")
folder = pathlib.Path(__file__).parent / "keras"
random = np.random.default_rng(7)


def spell(value):
    value = float(value)
    return value if np.isfinite(value) else "nan" if np.isnan(value) else "inf" if value > 0 else "-inf"


def save(name, model, scale=1.0, is_attack=False):
    if left_out:
        return
    formats = ["keras", "h5"] if name in ("mlp", "autoencoder", "lstm") else ["keras"] if is_three else ["h5"]
    for w in model.weights:
        shape = tuple(w.shape)
        if "seed" in w.name:
            continue
        fan = np.sqrt(max(1, int(np.prod(shape[:-1])))) if len(shape) > 1 else 2
        value = random.normal(size=shape) / fan
        if "variance" in w.name:
            value = random.uniform(0.3, 2, size=shape)
        w.assign(value.astype("float32"))
    shapes = [tuple(one.shape[1:]) for one in model.inputs]  # several inputs lie one behind the other in a row
    shape = shapes[0] if len(shapes) == 1 else (sum(int(np.prod(one)) for one in shapes),)
    rows = np.concatenate([random.normal(size=(10, *shape)) * scale, np.zeros((1, *shape)),
                           random.normal(size=(2, *shape)) * 30 * scale]).astype("float32")

    def given(row):
        if len(shapes) == 1:
            return row
        cuts = np.cumsum([int(np.prod(one)) for one in shapes])[:-1]
        return [part.reshape(1, *one) for part, one in zip(np.split(row, cuts, axis=1), shapes)]

    scores = np.concatenate([np.asarray(model.predict(given(rows[i:i + 1]), verbose=0)).reshape(1, -1)
                             for i in range(len(rows))])
    if is_attack:
        scores = scores[:, 1:]
    for suffix in formats:
        to = folder / f"{version}-{name}-{suffix}"
        to.mkdir(parents=True, exist_ok=True)
        model.save(to / f"model.{suffix}")
        expected = {"library": f"Keras {version}", "what": "predict", "tolerance": 1e-6,
                    "rows": [[spell(x) for x in row.reshape(-1)] for row in rows],
                    "scores": [[spell(x) for x in row] for row in scores]}
        (to / "expected.json").write_text(json.dumps(expected))


left_out = "graphs" in sys.argv


def chain(*stack):
    return keras.Sequential([s for s in stack if s is not None])


save("mlp", chain(L.Input((7,)), L.Dense(20, activation="relu"), L.BatchNormalization(), L.Dropout(0.3),
                  L.Dense(9, use_bias=False), L.BatchNormalization(scale=False, center=False), L.Activation("tanh"),
                  L.GaussianNoise(0.1), L.Dense(1, activation="sigmoid")))
# Nested models, as tutorials on autoencoders have them; and one part of them frozen.
encoder = chain(L.Input((6,)), L.Dense(5, activation="relu"), L.BatchNormalization(), L.Dense(3, activation="elu"))
whole = keras.Input((6,), name="flow")
code = encoder(whole)
decoder_in = keras.Input((3,))
decoder = keras.Model(decoder_in, L.Dense(6)(L.BatchNormalization()(L.Dense(5, activation="selu")(decoder_in))))
save("autoencoder", keras.Model(whole, L.Activation("linear", name="out")(decoder(code))))
save("conv", chain(L.Input((14, 3)), L.Conv1D(8, 3, padding="same", dilation_rate=2, activation="relu"),
                   L.MaxPooling1D(2), L.Conv1D(6, 2, padding="causal"), L.BatchNormalization(),
                   L.Conv1D(8, 3, strides=2, padding="same"), L.AveragePooling1D(3, strides=2, padding="same"),
                   L.SpatialDropout1D(0.1), L.UpSampling1D(3), L.Conv1D(5, 2, strides=2), L.MaxPooling1D(2, padding="same"),
                   L.Flatten(), L.Dense(4, activation="softmax")))
save("groups", chain(L.Input((9, 4)), L.Conv1D(8, 3, groups=1), L.Conv1D(4, 5, padding="same"),
                     L.GlobalAveragePooling1D(), L.Dense(2, activation="softmax")), is_attack=True)
save("lstm", chain(L.Input((6, 4)), L.LSTM(7, return_sequences=True),
                   L.Bidirectional(L.LSTM(5, return_sequences=True, recurrent_activation="hard_sigmoid")),
                   L.Bidirectional(L.LSTM(3)), L.Dense(2, activation="softmax")), is_attack=True)
save("gru", chain(L.Input((6, 4)), L.GRU(7, return_sequences=True, reset_after=False), L.GRU(5, return_sequences=True),
                  L.Bidirectional(L.GRU(4, return_sequences=True, use_bias=False)),
                  L.SimpleRNN(4, return_sequences=True, activation="relu"), L.GRU(3, go_backwards=True), L.Dense(1, "sigmoid")))
save("sequence", chain(L.Input((5, 3)), L.LSTM(6), L.RepeatVector(5), L.LSTM(6, return_sequences=True, activation="relu"),
                       L.TimeDistributed(L.Dense(3))), scale=0.3)
names = ["elu", "exponential", "gelu", "hard_sigmoid", "linear", "relu", "selu", "sigmoid", "softmax", "softplus",
         "softsign", "swish", "tanh", "mish"] + (["leaky_relu", "relu6"] if is_three else [])
stack = [L.Input((6,))]
for name in names:
    stack += [L.Dense(6, activation=name)]
stack += [L.Dense(6), L.ReLU(max_value=3.0, negative_slope=0.1, threshold=0.2), L.Dense(6), L.LeakyReLU(), L.Dense(6), L.PReLU(), L.Dense(6),
          L.ELU(0.7), L.Dense(3), L.Softmax()]
save("activations", chain(*stack))
save("shapes", chain(L.Input((12,)), L.Reshape((4, -1)), L.Permute((2, 1)), L.LayerNormalization(), L.Cropping1D((1, 0)),
                     L.TimeDistributed(L.Dense(5, activation="tanh")), L.PReLU(shared_axes=[1]), L.Conv1D(6, 2),
                     L.Reshape((3, 2)), L.GlobalMaxPooling1D(), L.Rescaling(0.5, offset=1.0), L.Dense(3)))
open_ended = chain(L.Dense(4, activation="relu"), L.Dense(1, activation="sigmoid"))  # no Input: the shape is found by use
open_ended.build((None, 5))
save("built", open_ended)
# Graphs: what is deep beside what is wide, a way around, several inputs, a part that decides what counts, and a
# layer that two branches share.
left_out, random = False, np.random.default_rng(8)
x = keras.Input((8,))
deep = L.Dense(5, activation="relu")(L.BatchNormalization()(L.Dense(9, activation="relu")(x)))
save("wide-deep", keras.Model(x, L.Dense(1, activation="sigmoid")(L.Concatenate()([x, deep]))))
x = keras.Input((6,))
y = L.Dense(6, activation="relu")(x)
for _ in range(2):
    y = L.Activation("relu")(L.Add()([y, L.Dense(6)(L.Dense(4, activation="tanh")(y))]))
save("residual", keras.Model(x, L.Dense(3, activation="softmax")(L.BatchNormalization()(y))))
a, b, c = keras.Input((4,), name="bytes"), keras.Input((5, 2), name="packets"), keras.Input((3,), name="flags")
read = L.LSTM(4)(b)
joined = L.concatenate([L.Dense(3, activation="relu")(a), read, L.Multiply()([c, L.Dense(3, activation="sigmoid")(c)])])
save("inputs", keras.Model([a, b, c], L.Dense(1, activation="sigmoid")(joined)))
x = keras.Input((12, 2))
conv = L.Conv1D(4, 3, padding="same", activation="relu")(x)
side = L.Conv1D(4, 5, padding="same", activation="tanh")(x)
both = L.Concatenate(axis=-1)([conv, side])
weighed = L.Multiply()([both, L.Dense(8, activation="softmax")(both)])
pooled = L.Concatenate()([L.GlobalMaxPooling1D()(weighed), L.GlobalAveragePooling1D()(weighed)])
save("pooled", keras.Model(x, L.Dense(4, activation="softmax")(pooled)))
x = keras.Input((5,))
shared = L.Dense(4, activation="relu")(x)
first, second = L.Dense(4)(shared), L.Dense(4, activation="elu")(shared)
most = L.Maximum()([first, second, shared])
mean = L.Average()([second, first])
save("shared", keras.Model(x, L.Dense(2, activation="softmax")(L.Minimum()([most, mean]))), is_attack=True)
print(version, "done")
