"""Runs a model by tflite-runtime in an environment that has nothing of ours: ``python tflite_child.py FOLDER``.

The folder holds ``model.tflite`` and ``inputs.npy``; ``answers.npy`` is put beside them, the runtime's name on stdout.
Exit 69 where the runtime or numpy cannot be imported, before any model is read.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

try:
    import numpy as np
    from tflite_runtime.interpreter import Interpreter
except (ImportError, AttributeError, OSError, SystemError) as error:  # of another numpy, or another machine
    print(error, file=sys.stderr)
    sys.exit(69)


def main(folder: Path) -> None:
    interpreter = Interpreter(model_path=str(folder / "model.tflite"), num_threads=1)
    interpreter.allocate_tensors()
    place, out = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    answers = []
    for each in np.load(folder / "inputs.npy"):
        interpreter.set_tensor(place, each[np.newaxis])
        interpreter.invoke()
        answers.append(interpreter.get_tensor(out)[0])
    np.save(folder / "answers.npy", np.stack(answers))
    print("tflite-runtime", version("tflite-runtime"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
