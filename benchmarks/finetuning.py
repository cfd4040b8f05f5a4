"""Fine-tuning beside transformers: the same weights, examples, order and learning rates; loss by loss, and the time of each step.

``python -m benchmarks.finetuning classify --model DIR --train FILE --dev FILE``: both sides run in processes of their own and
take turns of a few steps, so that a slow minute of the machine hits both. Without ``--dropout`` both give the same losses.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import common
from minibert.finetuning import saved
from minibert.finetuning.options import TASKS as NAMES
from minibert.finetuning.options import Settings, total_steps
from minibert.tasks.labelled import TASKS
from minibert.tasks.labelled.features import Epochs, collate, micro_batches
from minibert.training.adamw import AdamW, learning_rate
from minibert.workers import Workers, keep_freed_memory

TURN = 5  # steps
SIDES = ("minibert", "transformers")


class Course:
    """What both sides share: the features of every step and its learning rate, and the first weights."""

    def __init__(self, args: argparse.Namespace) -> None:
        settings = Settings(task=args.task, train=args.train, dev=args.dev, max_length=args.max_length, dropout=args.dropout,
                            epochs=args.epochs, batch_size=args.batch_size, learning_rate=args.learning_rate)
        self.task = TASKS[args.task]
        train, self.dev = (self.task.read(path, settings).examples for path in (args.train, args.dev))
        self.labels = self.task.labels(train)
        self.model = saved.begin(args.model, self.task, self.labels, settings, seed=0)
        self.settings = self.model.settings
        self.features, _ = self.task.encode(train, self.model.tokenizer, self.labels, self.settings)
        self.dev_features, _ = self.task.encode(self.dev, self.model.tokenizer, self.labels, self.settings)
        self.steps = args.steps or total_steps(len(self.features), self.settings)
        self.epochs = Epochs(self.features, self.settings.batch_size, 0)
        self.step, self.position = 0, (0, 0)

    def next(self) -> tuple[list, float]:
        """The features of the next step, and its learning rate."""
        chosen, self.position = self.epochs.batch(self.position)
        self.step += 1
        rate = learning_rate(self.step, self.settings.learning_rate, round(0.1 * self.steps), self.steps)
        return chosen, rate

    def score(self, logits: list[np.ndarray]) -> dict[str, float]:
        """The figures of the dev examples."""
        guesses = self.task.guess(logits, self.dev_features, self.dev, self.labels, self.settings)
        return self.task.score(self.dev, guesses, self.labels)


class Ours:
    """minibert's side."""

    def __init__(self, course: Course, threads: int) -> None:
        from minibert.finetuning import models
        from minibert.training.engine import Engine

        keep_freed_memory()
        self.course = course
        workers = Workers(threads).__enter__()
        model = models.of(course.model.config, course.task.KIND, len(course.labels))
        self.engine = Engine(model, course.model.parameters, workers, AdamW(), 1.0)

    def train(self, features: list, rate: float) -> float:
        return float(self.engine.train(micro_batches(features), rate)[0].loss)

    def logits(self) -> list[np.ndarray]:
        return self.engine.predict(micro_batches(self.course.dev_features))[1]


class Theirs:
    """transformers' model with PyTorch's AdamW, as its documentation sets them up; padded to the longest of the batch."""

    def __init__(self, course: Course, threads: int) -> None:
        import torch
        import transformers

        torch.set_num_threads(threads)
        torch.manual_seed(0)
        transformers.logging.set_verbosity_error()
        self.torch, self.course = torch, course
        config, task = course.model.config, course.task
        fields = {name: value for name, value in config.to_dict().items()
                  if name not in ("architectures", "model_type", "norm_first", *config.unknown)}
        extra = {"num_labels": len(course.labels)} if task.KIND not in ("choice", "span") else {}
        if task is TASKS["regress"]:
            extra["problem_type"] = "regression"
        self.net = getattr(transformers, task.ARCHITECTURE)(transformers.BertConfig(**fields, **extra))
        state = {name: torch.from_numpy(np.array(view)) for name, view in course.model.parameters.items()}
        unexpected = self.net.load_state_dict(state, strict=False).unexpected_keys
        assert not unexpected, unexpected
        named = list(self.net.named_parameters())
        plain = [name.endswith("bias") or "LayerNorm" in name for name, _ in named]
        self.adamw = torch.optim.AdamW([{"params": [p for (_, p), x in zip(named, plain) if not x], "weight_decay": 0.01},
                                        {"params": [p for (_, p), x in zip(named, plain) if x], "weight_decay": 0.0}], eps=1e-6)
        self.net.train()

    def inputs(self, features: list, labels: bool) -> dict[str, Any]:
        batch = collate(features, range(len(features)))
        mask = np.ones_like(batch.ids) if batch.attention_mask is None else batch.attention_mask.astype(np.int64)
        arrays = {"input_ids": batch.ids, "token_type_ids": batch.token_type_ids, "attention_mask": mask}
        if batch.choices > 1:
            arrays = {name: x.reshape(-1, batch.choices, x.shape[-1]) for name, x in arrays.items()}
        if labels and self.course.task.KIND == "span":
            arrays |= {"start_positions": batch.targets["label"][:, 0], "end_positions": batch.targets["label"][:, 1]}
        elif labels:
            labels = batch.targets["label"]
            arrays["labels"] = labels.astype(np.float32) if labels.dtype.kind == "f" else labels
        return {name: self.torch.from_numpy(x) for name, x in arrays.items()}

    def train(self, features: list, rate: float) -> float:
        for group in self.adamw.param_groups:
            group["lr"] = rate
        self.adamw.zero_grad()
        loss = self.net(**self.inputs(features, True)).loss
        loss.backward()
        self.torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.adamw.step()
        return loss.item()

    def logits(self) -> list[np.ndarray]:
        self.net.eval()
        found = []
        with self.torch.no_grad():
            for i in range(0, len(self.course.dev_features), 32):
                out = self.net(**self.inputs(self.course.dev_features[i:i + 32], False))
                span = self.course.task.KIND == "span"
                found += list((self.torch.stack([out.start_logits, out.end_logits], 1) if span else out.logits).numpy())
        return found


def serve(args: argparse.Namespace) -> None:
    """One side: a turn is a few steps. Losses and scores go to a file at the end."""
    course = Course(args)
    side = (Ours if args.serve == "minibert" else Theirs)(course, args.threads)
    losses: list[float] = []

    def turn() -> None:
        for _ in range(min(TURN, course.steps - course.step)):
            losses.append(side.train(*course.next()))

    common.serve(turn)
    scores = course.score(side.logits())
    args.result.write_text(json.dumps({"losses": losses, "scores": scores}), encoding="utf-8")


def main(argv: list[str] | None = None) -> None:
    """The command."""
    parser = common.arguments(__doc__.splitlines()[0], prog="python -m benchmarks.finetuning")
    parser.add_argument("task", choices=NAMES)
    for name in ("model", "train", "dev"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--steps", type=int, help="stop after so many steps, instead of after the epochs")
    parser.add_argument("--epochs", type=float, default=3.0)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--max-length", type=int)
    parser.add_argument("--learning-rate", type=float, default=5e-5)
    parser.add_argument("--dropout", type=float, default=0.0, help="with dropout the losses differ: the two draw other numbers")
    parser.add_argument("--serve", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.serve:
        serve(args)
        return
    common.need("torch", "transformers")
    course = Course(args)
    rounds = -(-course.steps // TURN)
    given = sys.argv[1:] if argv is None else argv
    with tempfile.TemporaryDirectory() as folder:
        files = {side: Path(folder) / f"{side}.json" for side in SIDES}
        rivals = {side: common.Rival("benchmarks.finetuning", *given, "--serve", side, "--result", str(files[side]))
                  for side in SIDES}
        seconds = common.alternate(rivals, rounds, warmup=0)
        peaks = {side: rival.close() for side, rival in rivals.items()}
        results = {side: json.loads(path.read_text(encoding="utf-8")) for side, path in files.items()}
    where = common.machine(args.threads)
    a, b = (np.array(results[side]["losses"]) for side in SIDES)
    ratio = common.ratio(seconds["transformers"], seconds["minibert"])
    apart = float(np.abs(a[:20] - b[:20]).max())
    metric = course.task.METRIC
    print(f"{common.describe(where)}\n{args.task}, {len(course.features):,} features, {course.steps:,} steps of "
          f"{args.batch_size}, dropout {args.dropout}\n")
    common.table(["", "ms a step", "first loss", "loss 20", "last loss", f"dev {metric}", "memory, GB"], [
        [side, 1e3 * common.median(seconds[side]) / TURN, *(f"{losses[min(i, len(losses) - 1)]:.5f}" for i in (0, 19, len(a))),
         f"{results[side]['scores'][metric]:.4f}", peaks[side] / 1e9] for side, losses in zip(SIDES, (a, b))])
    print(f"\nminibert is {ratio:.2f} times as fast; the first 20 losses differ by at most {apart:.1e}")
    named = replace(course.settings, model=Path(args.model).name, train=Path(args.train).name, dev=Path(args.dev).name)
    path = common.write(f"finetuning-{args.task}", where, {
        "ratio": ratio, "first_20_losses_differ_by": apart, "seconds_a_turn": seconds, "steps_a_turn": TURN,
        "steps": course.steps, "settings": vars(named), **results}, args.json)
    print(path)


if __name__ == "__main__":
    main()
