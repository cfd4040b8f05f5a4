"""A checkpoint of Lightning: a tiny BERT within a module, with an optimiser, settings and callbacks beside it."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from tools.peers import common


def main() -> None:
    import lightning
    import torch
    from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
    from transformers import BertConfig, BertForMaskedLM

    class Module(lightning.LightningModule):
        def __init__(self, lr, sizes):
            super().__init__()
            self.save_hyperparameters()
            self.model = BertForMaskedLM(BertConfig(**sizes))

        def training_step(self, batch, _):
            loss = self.model(input_ids=batch, labels=batch).loss
            self.log("loss", loss)
            return loss

        def configure_optimizers(self):
            optimizer = torch.optim.AdamW(self.parameters(), lr=self.hparams.lr)
            return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]

    warnings.simplefilter("ignore")
    torch.manual_seed(4)
    path = common.folder("lightning", "lightning")
    keeper = ModelCheckpoint(path / "kept")
    trainer = lightning.Trainer(max_steps=1, accelerator="cpu", logger=False, enable_progress_bar=False,
                                callbacks=[keeper, EarlyStopping("loss")])
    module = Module(1e-3, common.SIZES)
    trainer.fit(module, torch.utils.data.DataLoader(torch.randint(0, 62, (4, 6)), batch_size=2))
    best = Path(keeper.best_model_path)
    keeper.dirpath, keeper.best_model_path = "kept", f"kept/{best.name}"  # it would write the folders of this machine
    trainer.save_checkpoint(path / "last.ckpt")
    for kept in (path / "kept").iterdir():
        kept.unlink()
    (path / "kept").rmdir()
    values = {name: x.numpy() for name, x in module.state_dict().items() if x.is_floating_point()}
    common.finish(path, {name: np.asarray(x) for name, x in values.items()},
                  "`last.ckpt` is Lightning's checkpoint of a tiny BertForMaskedLM after a step, with its optimiser.",
                  ["lightning", "torch", "transformers"], {**common.SIZES, "model_type": "bert"})


if __name__ == "__main__":
    main()
