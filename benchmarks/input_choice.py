"""How input size, width and crop margin trade points for time: a linear probe on frozen features, source by source.

    python benchmarks/input_choice.py FACES --weights-1.0 FILE --weights-0.35 FILE

FACES is a prepared set. For every size, width and margin the pooled features of the frozen network are computed once; a
logistic regression is fitted on all sources but one and judged on that one. It tells what a network of that size sees
before any fine-tuning, which is an upper bound of how much sizes differ after it. Half an hour on two cores.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from edge.interpreter import Interpreter
from edge.records import ImageU8
from trainer.faces.crops import plain_crops
from trainer.faces.manifest import FaceRow, read_manifest
from trainer.learn import network
from trainer.metrics import BARE_AT, INCORRECT_AT, MASK_AT

Floats = npt.NDArray[np.float64]
FOLDS: Final = (("ilc2021",), ("street_masks", "rmfd_persons"), ("mask_types", "incorrect_more", "film_stills"))
SIZES: Final = (128, 160, 192, 224)
MARGINS: Final = (0.0, 0.1, 0.35)  # beside 0.2, at 128 px
CLASS_WEIGHT: Final = {MASK_AT: 1.0, BARE_AT: 1.0, INCORRECT_AT: 3.0}
INVOKES: Final = 60


def features(model: Any, data: Path, rows: Sequence[FaceRow], margin: float, size_px: int) -> Floats:
    """(n, channels) pooled features of the device's crops."""
    base, _, _ = network.features_and_head(model)
    parts = []
    for at in range(0, len(rows), 64):
        crops: ImageU8 = plain_crops(data, rows[at : at + 64], margin, size_px)
        parts.append(np.asarray(base(network.scale(crops), training=False)))
    return np.concatenate(parts).astype(np.float64)


def recalls(found: Floats, labels: npt.NDArray[np.int64], judged: npt.NDArray[np.bool_]) -> tuple[float, float, float]:
    """Masked right, bare right, badly worn called mask, of the judged faces; the others are fitted to."""
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300, class_weight=CLASS_WEIGHT))
    probe.fit(found[~judged], labels[~judged])
    said = probe.predict_proba(found[judged])[:, MASK_AT] >= 0.5
    shares = [float(said[labels[judged] == label].mean()) for label in (MASK_AT, BARE_AT, INCORRECT_AT)]
    return shares[0], 1 - shares[1], shares[2]


def latency_ms(model: Any, size_px: int) -> float:
    """Median of one invocation of the float network on this machine, one thread: a ratio between rows, no more."""
    import keras
    import tensorflow as tf

    image = keras.Input(batch_shape=(1, size_px, size_px, 3))
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(image, model(image, training=False)))
    interpreter = Interpreter(converter.convert())
    picture = np.zeros((1, size_px, size_px, 3), np.float32)
    spent = []
    for _ in range(INVOKES):
        start = time.perf_counter()
        interpreter.run(picture)
        spent.append(time.perf_counter() - start)
    return 1000 * float(np.median(spent))


def row(data: Path, rows: Sequence[FaceRow], weights: Path, *, alpha: float, size_px: int, margin: float) -> str:
    model = network.build(size_px, alpha, weights, 0.0, 1)
    found = features(model, data, rows, margin, size_px)
    labels = np.array([r.label_index for r in rows])
    sources = np.array([r.source for r in rows])
    folds = [recalls(found, labels, np.isin(sources, fold)) for fold in FOLDS]
    balanced = np.mean([(mask + bare) / 2 for mask, bare, _ in folds])
    cells = " | ".join(f"{mask:.1%} / {bare:.1%} / {worn:.1%}" for mask, bare, worn in folds)
    return f"| {alpha} | {size_px} | {margin} | {latency_ms(model, size_px):.2f} | {balanced:.1%} | {cells} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path)
    parser.add_argument("--weights-1.0", dest="wide", type=Path, required=True)
    parser.add_argument("--weights-0.35", dest="narrow", type=Path, required=True)
    args = parser.parse_args()
    rows = read_manifest(args.faces)
    names = " | ".join(" + ".join(fold) for fold in FOLDS)
    print(f"| width | px | margin | ms | balanced, mean | {names} |")
    print("|---|---|---|---|---|---|---|---|")
    for alpha, weights in ((0.35, args.narrow), (1.0, args.wide)):
        for size_px, margin in [*((px, 0.2) for px in SIZES), *((128, m) for m in MARGINS)]:
            print(row(args.faces, rows, weights, alpha=alpha, size_px=size_px, margin=margin), flush=True)


if __name__ == "__main__":
    main()
