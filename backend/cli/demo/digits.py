"""A real model on real data: a support-vector machine on scikit-learn's bundled images of handwritten digits."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

MODEL = "digits"
INPUT, OUTPUT = "image", "label"
PIXELS, DIGITS = 64, 10
HELD_OUT = 450
SEED = 0


@dataclass(frozen=True, slots=True)
class Digits:
    """A trained model file, and images that it has never seen with what they show."""

    path: Path
    images: npt.NDArray[np.float32]  # [HELD_OUT, PIXELS], 0 to 16
    labels: npt.NDArray[np.int64]


def train(folder: Path) -> Digits:
    """Train, hold HELD_OUT images back, and export to ONNX: `image` FP32 [rows, 64] → `label` and `scores`."""
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split
    from sklearn.svm import SVC

    images, labels = load_digits(return_X_y=True)
    seen, held_out, seen_labels, held_out_labels = train_test_split(
        images.astype(np.float32), labels, test_size=HELD_OUT, random_state=SEED, stratify=labels
    )
    classifier = SVC(gamma=0.001, C=10.0).fit(seen, seen_labels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the exporter reads attributes that scikit-learn will drop
        exported = to_onnx(
            classifier,
            initial_types=[(INPUT, FloatTensorType([None, PIXELS]))],
            final_types=[(OUTPUT, Int64TensorType([None])), ("scores", FloatTensorType([None, DIGITS]))],
            options={"zipmap": False},  # scores as a tensor, not as a list of maps
        )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{MODEL}.onnx"
    path.write_bytes(exported.SerializeToString())
    return Digits(path, held_out, held_out_labels)


def request(images: npt.NDArray[np.floating], name: str = INPUT) -> dict[str, Any]:
    """An Open Inference Protocol body for images [rows, 64]."""
    tensor = {"name": name, "datatype": "FP32", "shape": list(images.shape), "data": images.ravel().tolist()}
    return {"inputs": [tensor]}


def labels_of(response: dict[str, Any]) -> list[int]:
    """What a response says that its images show."""
    return next(list(map(int, output["data"])) for output in response["outputs"] if output["name"] == OUTPUT)
