"""``tf_model.h5`` of a tiny BERT, by transformers 4 and Keras 2."""

from __future__ import annotations

import os

import numpy as np

from tools.peers import common

os.environ["TF_USE_LEGACY_KERAS"] = "1"


def main() -> None:
    from transformers import BertConfig, TFBertForPreTraining

    model = TFBertForPreTraining(BertConfig(**common.SIZES))
    model(model.dummy_inputs)
    rng = np.random.default_rng(3)
    for variable in model.weights:
        variable.assign(rng.normal(size=variable.shape).astype(np.float32))
    path = common.folder("keras", "tf_keras")
    model.save_pretrained(path)
    (path / "generation_config.json").unlink(missing_ok=True)
    common.finish(path, {variable.name: variable.numpy() for variable in model.weights},
                  "`tf_model.h5` is a tiny TFBertForPreTraining.", ["tensorflow-cpu", "tf_keras", "h5py", "transformers"])


if __name__ == "__main__":
    main()
