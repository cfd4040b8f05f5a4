"""Our numbers beside those of the reference implementation, on a real checkpoint: ``python -m benchmarks.parity DIR``.

The same texts go through minibert and through transformers, in float64 and in float32: every hidden state, every attention map,
the pooled vector, the sentence vectors, and the gradient of a loss with respect to every weight. The loss is the sum of the last
hidden state and of the pooled vector, each number times a random one, so that every weight has a part in it.

An error is ‖ours - theirs‖ / ‖theirs‖ over the real tokens of one array; a line of the table shows the largest of its arrays. The
gradient of ``key.bias`` is zero in exact arithmetic; what is left of it is measured against that of ``query.bias``. Exit code 1
where a limit is exceeded.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

TEXTS = ("The quick brown fox jumps over the lazy dog.", "BERT reads a sentence in both directions at once.",
         ("How do I open a file?", "Call open() with its name; close it when you are done."), "No.",
         "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness, it was "
         "the epoch of belief, it was the epoch of incredulity, it was the season of Light, it was the season of Darkness.")
LIMITS = {"float64": 1e-12, "float32": 1e-5}


class Line(NamedTuple):
    """What was compared, in how many arrays, and the largest error of one of them."""

    what: str
    arrays: int
    numbers: int
    error: float


def distance(ours: np.ndarray, theirs: np.ndarray, scale: np.ndarray | None = None) -> float:
    """‖ours - theirs‖ / ‖theirs‖, or over the norm of ``scale``, in float64."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    norm = np.linalg.norm(theirs if scale is None else np.asarray(scale, np.float64))
    return float(np.linalg.norm(ours - theirs) / norm) if norm else float(np.linalg.norm(ours - theirs))


def compare(folder: Path, dtype: str, texts: Sequence[Any] = TEXTS) -> list[Line]:
    """Run both implementations on ``folder`` in ``dtype`` and compare all that they give."""
    import torch
    import transformers

    import minibert
    from minibert.model import bert as model
    from minibert.sentence_vectors import Pooling, pool

    ours = minibert.load(folder, "cpu", np.dtype(dtype))
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as copy:
        if not (folder / "model.safetensors").is_file():  # of a format that transformers does not read: what we would save
            ours.save(copy, np.float64)
        source = folder if (folder / "model.safetensors").is_file() else copy
        theirs = transformers.BertModel.from_pretrained(source, dtype=getattr(torch, dtype), attn_implementation="eager").eval()
    encodings = [ours.tokenizer.encode(text) if isinstance(text, str) else ours.tokenizer.encode(*text) for text in texts]
    ids, types, mask = ours.tokenizer.batch(encodings)
    real, both = mask == 1, (mask[:, :, None] * mask[:, None, :] == 1)

    p, config = ours.parameters["bert"], ours.config
    out, cache = model.forward(ids, types, mask, p, config)
    expected = theirs(input_ids=torch.tensor(ids), token_type_ids=torch.tensor(types), attention_mask=torch.tensor(mask),
                      output_hidden_states=True, output_attentions=True)

    rng = np.random.default_rng(0)
    d_last = rng.standard_normal(out.last_hidden_state.shape).astype(dtype) * real[:, :, None]
    d_pooled = rng.standard_normal(out.pooled.shape).astype(dtype)
    g = ours.parameters.zeros_like()
    model.backward(model.Output(last_hidden_state=d_last.copy(), pooled=d_pooled.copy()), cache, p, g["bert"])
    torch.autograd.backward([expected.last_hidden_state, expected.pooler_output], [torch.tensor(d_last), torch.tensor(d_pooled)])

    def numpy(x: Any) -> np.ndarray:
        return x.detach().numpy()

    states = [(a[real], numpy(b)[real]) for a, b in zip(out.hidden_states, expected.hidden_states)]
    maps = [(np.moveaxis(a, 1, -1)[both], np.moveaxis(numpy(b), 1, -1)[both])
            for a, b in zip(out.attentions, expected.attentions)]
    last, hidden = numpy(expected.last_hidden_state), out.last_hidden_state
    mean = np.array([h[keep].mean(0) for h, keep in zip(last, real)])
    vectors = pool(hidden, mask, Pooling("mean", normalise=True)), mean / np.linalg.norm(mean, axis=1, keepdims=True)
    gradients, views = {}, dict(g.items())
    for name, tensor in theirs.named_parameters():
        gradients[f"bert.{name}"] = numpy(tensor.grad)
    if unmatched := gradients.keys() ^ {name for name in views if name.startswith("bert.")}:
        raise ValueError(f"{folder}: these weights have no counterpart: {', '.join(sorted(unmatched))}")
    errors = [distance(views[name], grad, gradients[name.replace("self.key", "self.query")] if name.endswith("self.key.bias")
                       else None) for name, grad in gradients.items()]

    def line(what: str, pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> Line:
        return Line(what, len(pairs), sum(a.size for a, _ in pairs), max(distance(a, b) for a, b in pairs))

    return [line("hidden states", states), line("attention maps", maps), line("pooled vectors", [(out.pooled, numpy(
        expected.pooler_output))]), line("sentence vectors", [vectors]),
        Line("gradients of all weights", len(gradients), sum(x.size for x in gradients.values()), max(errors))]


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables. 0: within the limits; 1: not; 2: cannot be compared."""
    parser = argparse.ArgumentParser("python -m benchmarks.parity", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("folder", metavar="DIR", type=Path, help="folder of a BERT checkpoint")
    folder = parser.parse_args(argv).folder
    try:
        import torch
        import transformers
    except ImportError as error:
        print(f'benchmarks.parity compares with transformers, and {error.name} is not installed: pip install -e ".[oracle]"',
              file=sys.stderr)
        return 2
    try:
        tables = {dtype: compare(folder, dtype) for dtype in LIMITS}
    except (ValueError, OSError) as error:
        print(f"benchmarks.parity: {error}", file=sys.stderr)
        return 2
    print(f"{folder.resolve().name}, {len(TEXTS)} texts, beside transformers {transformers.__version__} on PyTorch "
          f"{torch.__version__}")
    print(f"{'‖ours - theirs‖ / ‖theirs‖, largest':<38}{'arrays':>8}{'numbers':>14}" + "".join(f"{d:>12}" for d in LIMITS))
    for lines in zip(*tables.values()):
        first = lines[0]
        print(f"  {first.what:<36}{first.arrays:>8}{first.numbers:>14,}" + "".join(f"{line.error:>12.1e}" for line in lines))
    print(f"{'limit':<60}" + "".join(f"{limit:>12.0e}" for limit in LIMITS.values()))
    return int(any(line.error > LIMITS[dtype] for dtype, lines in tables.items() for line in lines))


if __name__ == "__main__":
    sys.exit(main())
