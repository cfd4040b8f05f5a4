"""What ``minibert train`` goes on from: settings, configuration, vocabulary and counters, beside the slabs (see ``state``)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from minibert.config import BertConfig
from minibert.model.model import Model
from minibert.parameters import Parameters
from minibert.pretrained import tensors
from minibert.text.tokenizer import Tokenizer
from minibert.text.vocabulary import Vocabulary
from minibert.training import state as states
from minibert.training.loop import Progress
from minibert.training.objectives import model_of
from minibert.training.optimisers import constants_of, name_of
from minibert.training.options import Settings
from minibert.training.state import FILE

LOG = "log.txt"
FINE_TUNING = "settings.json"  # only a fine-tuning run has it
COMPRESSION = "compression.json"  # only a run with a teacher has it


@dataclass(frozen=True)
class Checkpoint:
    """What the file holds."""

    settings: Settings
    config: BertConfig
    tokenizer: Tokenizer
    corpus_sha256: str
    progress: Progress
    parameters: Parameters
    kept: Mapping[str, Parameters] | None = None  # what the optimiser keeps, and the average; None: the run has not begun


def save(folder: str | os.PathLike[str], checkpoint: Checkpoint) -> None:
    """Write the training state into a run's folder."""
    config = checkpoint.config.to_dict()
    if "architectures" not in checkpoint.config.unknown:
        del config["architectures"]  # what it goes without saying depends on the family
    state = {
        "settings": asdict(checkpoint.settings),
        "config": config,
        "vocabulary": list(checkpoint.tokenizer.vocab.tokens),
        "tokenizer": checkpoint.tokenizer.described(),
        "corpus_sha256": checkpoint.corpus_sha256,
        "progress": asdict(checkpoint.progress),
    }
    states.write(folder, "state", state, checkpoint.parameters, checkpoint.kept, name_of(constants_of(checkpoint.settings)))


def load(folder: str | os.PathLike[str], model: Callable[[BertConfig, Settings], Model] = model_of) -> Checkpoint:
    """Read a run's training state. ``model``: what it trains.

    Raises FileNotFoundError where the folder has none, ValueError for a file that is damaged or does not fit itself.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        if (path.parent / FINE_TUNING).is_file():
            raise FileNotFoundError(f"{folder} holds a fine-tuning run, which goes on with: minibert finetune --resume")
        ended = " (it ended before anything was saved: begin it anew)" if (path.parent / LOG).is_file() else ""
        raise FileNotFoundError(f"{path}: there is no such file, so there is no run to go on with in {folder}{ended}")
    with tensors.opened(path) as file:
        try:
            state = states.read(file, "state")
            config = BertConfig.from_dict(state["config"])
            settings = Settings(**{**state["settings"], "corpus": tuple(state["settings"]["corpus"])})
            tokenizer = _tokenizer(state, config)
            progress = Progress.of(state["progress"])
            corpus_sha256 = state["corpus_sha256"]
            parameters, kept = states.read_slabs(file, state, model(config, settings).layout(), constants_of(settings),
                                                 settings.ema)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"{path}: this is no training state of minibert ({type(error).__name__}: {error})") from None
    return Checkpoint(settings, config, tokenizer, corpus_sha256, progress, parameters, kept)


def _tokenizer(state: dict[str, Any], config: BertConfig) -> Tokenizer:
    """The tokenizer of a state; in one from before ``train --init`` only the case is told, and the rest goes without saying."""
    if "tokenizer" not in state:
        return Tokenizer(Vocabulary(state["vocabulary"], source="its vocabulary"), lower_case=not state["cased"],
                         max_length=config.max_position_embeddings)
    return Tokenizer.remade(state["vocabulary"], state["tokenizer"])
