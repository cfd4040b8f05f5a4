"""What the endpoints answer. Each is a call of ``minibert.analysis`` and carries the lines of Python that do the same.

An answer holds what is drawn, whatever the size of the model and the length of the text: of all heads small maps, of one head its
weights.
"""

from __future__ import annotations

import base64
import math
import os
import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minibert.analysis import flow, inside, posterior, pruning, structural, subject, trees
from minibert.analysis.dependencies import entropy
from minibert.demo import examples
from minibert.files import brief
from minibert.finetuning import early, saved
from minibert.pretrained import bundled
from minibert.text import Reading

if TYPE_CHECKING:
    from minibert.pretrained import Trained
    from minibert.world import World

TEXTS_LIMIT = 64  # numbers of top guesses or neighbours that one answer holds at most
STEPS_LIMIT = 256  # of an integral
WORK_LIMIT = 16_384  # tokens that the steps of an integral may read in all
MAP_LIMIT = 64  # blocks of tokens along each side of a head's map, about
PRUNED = 25  # numbers of heads that are switched off, at most
EXACT_LIMIT = 128  # tokens of a text whose exact posterior is asked for
SENTENCES = 12  # whose trees are known, to choose from
RANK = 32  # of the map after which distances are those of a tree


class Request(NamedTuple):
    """The body of a request, checked. Everything but ``text`` may be left out."""

    text: str
    pair: str | None = None
    hide: tuple[int, ...] = ()
    off: tuple[tuple[int, int], ...] = ()
    top: int = 10
    layer: int = 0
    head: int = 0
    position: int | None = None
    word: str | None = None
    steps: int = 32

    @classmethod
    def of(cls, body: Any) -> Request:
        """TypeError or ValueError for anything but an object with these fields and types."""
        if not isinstance(body, dict):
            raise TypeError(f'the body must be a JSON object such as {{"text": "a sentence"}}, got {type(body).__name__}')
        if unknown := sorted(set(body) - set(cls._fields)):
            raise ValueError(f"unknown field {brief(unknown[0])}; known are {', '.join(cls._fields)}")
        given = {name: value for name, value in body.items() if value is not None}
        if not isinstance(given.get("text"), str):
            raise TypeError('"text" must be a string')
        for name in ("pair", "word"):
            if not isinstance(given.get(name, ""), str):
                raise TypeError(f'"{name}" must be a string or null, got {brief(given[name])}')
        for name in ("top", "layer", "head", "position", "steps"):
            if not _whole(given.get(name, 0)):
                raise TypeError(f'"{name}" must be a whole number, got {brief(given[name])}')
        if not 1 <= given.get("top", 1) <= TEXTS_LIMIT:
            raise ValueError(f'"top" must be from 1 to {TEXTS_LIMIT}, got {given["top"]}')
        if not 1 <= given.get("steps", 1) <= STEPS_LIMIT:
            raise ValueError(f'"steps" must be from 1 to {STEPS_LIMIT}, got {given["steps"]}')
        hide, off = given.get("hide", []), given.get("off", [])
        if not isinstance(hide, list) or not all(map(_whole, hide)):
            raise TypeError(f'"hide" must be a list of token positions, got {brief(hide)}')
        if not isinstance(off, list) or not all(isinstance(h, list) and len(h) == 2 and all(map(_whole, h)) for h in off):
            raise TypeError(f'"off" must be a list of [layer, head], got {brief(off)}')
        return cls(**{**given, "hide": tuple(dict.fromkeys(hide)), "off": tuple(map(tuple, off))})


class Views:
    """A model, and the text in which neighbours are looked for, behind functions from a request to what becomes JSON.

    ``beside``: another model, such as a student of the first, to be asked the same. ValueError for one of other tokens.
    """

    def __init__(self, bert: Trained, name: str, sentences: Callable[[], tuple[str, Sequence[str]]],
                 beside: Trained | None = None) -> None:
        if beside is not None and beside.tokenizer.vocab.tokens != bert.tokenizer.vocab.tokens:
            raise ValueError(f"--beside: the vocabulary of the model in {beside.folder} is not that of {name}, so they cannot be "
                             "asked the same: take a student with the vocabulary of its teacher")
        self.beside = beside
        self.bert, self.name, self._sentences = bert, name, sentences
        self._model = "" if bert.folder is None or Path(bert.folder) == bundled() else repr(str(bert.folder))
        self._index: inside.Neighbours | None = None
        self._index_name = ""
        self._reading: dict[str, Any] | None = None
        self._lock = threading.Lock()
        self.world = subject.world_of(bert)
        self.judge = _judge(bert.folder)
        self._examples = examples.examples(bert, self.world)

    def model(self) -> dict:
        """What there is to know before the first question."""
        c = self.bert.config
        try:
            inside.needs_head(self.bert)
            without = None
        except ValueError as error:
            without = str(error)
        return {"name": self.name, "layers": c.num_hidden_layers, "heads": c.num_attention_heads, "hidden_size": c.hidden_size,
                "head_size": c.head_size, "vocabulary": len(self.bert.tokenizer.vocab),
                "parameters": len(self.bert.parameters), "max_length": self.bert.max_length, "work": WORK_LIMIT,
                "device": self.bert.device.split(";")[0], "notes": self.bert.notes, "why_no_guesses": without,
                "world": self.world is not None, "leaves_early": self.judge is not None, "beside": self.beside is not None,
                "ln_vocabulary": float(np.log(len(self.bert.tokenizer.vocab))), "examples": self._examples}

    def tokens(self, r: Request) -> dict:
        q = self._ask(r)
        known = self.bert.tokenizer.vocab
        ids = inside.ask(self.bert, r.text, r.pair).ids if r.hide else q.ids
        rows = [{"token": token, "id": int(i), "segment": int(kind), "position": t, "start": start, "end": end,
                 "unknown": int(i) == known.unk_id, "continues": self.bert.tokenizer.continues(i), "added": added}
                for t, (token, i, kind, (start, end), added)
                in enumerate(zip(q.tokens, ids, q.token_type_ids, q.offsets, q.added))]
        return {"tokens": rows, "cut": q.cut, "masked": q.masked, "reading": self.reading(r, q),
                "python": self._python(r, "[*zip(question.tokens, question.ids, question.token_type_ids)]")}

    def reading(self, r: Request, q: inside.Question) -> dict:
        """How much of the text is unknown, hidden tokens aside, and how many special tokens are written in it."""
        found = Reading.of(self.bert.tokenizer.vocab, [r.text, r.pair or ""], [q.ids])
        return {"tokens": found.tokens, "unknown": found.unknown, "share": found.share, "special": found.special}

    def guesses(self, r: Request) -> dict:
        q, gates = self._ask(r), self._gates(r)
        answers = inside.guesses(self.bert, q, r.top, gates)
        return {"guesses": [_guess(g) for g in answers], "loss": inside.mean_surprise(answers),
                "follows": inside.follows(self.bert, q, gates), "reading": self.reading(r, q),
                "python": self._python(r, f"inside.guesses(bert, question, top={r.top}{_gates(r)})")}

    def side_by_side(self, r: Request) -> dict:
        """What both models guess."""
        if self.beside is None:
            raise ValueError("there is no second model: name one with minibert demo MODEL --beside DIR")
        found = []
        for bert in (self.bert, self.beside):
            q = inside.ask(bert, r.text, r.pair, r.hide)
            answers = inside.guesses(bert, q, r.top)
            found.append({"layers": bert.config.num_hidden_layers, "parameters": len(bert.parameters),
                          "guesses": [_guess(g) for g in answers], "loss": inside.mean_surprise(answers)})
        found[0]["name"], found[1]["name"] = self.name, Path(self.beside.folder or "").resolve().name
        lines = self._python(r, f"inside.guesses(bert, question, top={r.top})")
        return {"models": found, "python": [*lines, f"bert = minibert.load({str(self.beside.folder)!r})", *lines[2:]]}

    def layers(self, r: Request) -> dict:
        """Of one mask: ``position``, or the first one."""
        q, L = self._ask(r), self.bert.config.num_hidden_layers
        at = r.position if r.position is not None or not q.masked else q.masked[0]
        names = ["embeddings", *(f"layer {i}" for i in range(L))]
        return {"position": at, "layers": [{"name": name, "guess": _guess(answers[0]) if answers else None}
                                           for name, answers in zip(names, inside.layers(self.bert, q, r.top, at))],
                "python": self._python(r, f"inside.layers(bert, question, top={r.top}, position={at})")}

    def attention(self, r: Request) -> dict:
        """``position`` is a query that is followed through all layers and heads, or None."""
        q = self._ask(r)
        if r.position is not None:
            _token(q, r.position)
        inside.needs_heads(self.bert, [(r.layer, r.head)])
        weights = inside.attention(self.bert, q, self._gates(r))  # (L, A, T, T)
        return {**_overview(q, weights), "weights": _rounded(weights[r.layer, r.head], 4),
                "through": None if r.position is None else _rounded(weights[:, :, r.position], 4),
                "python": self._python(r, f"inside.attention(bert, question{_gates(r)})")}

    def exported(self, r: Request) -> dict:
        """The attention for a file, where nobody can be asked again: of all heads all weights."""
        q = self._ask(r)
        weights = inside.attention(self.bert, q)
        return {**_overview(q, weights), "weights": _packed(weights, 16)}

    def rollout(self, r: Request) -> dict:
        """``layer``: after which; ``position``: a token that is followed through all layers, or None."""
        q = self._ask(r)
        inside.needs_heads(self.bert, [(r.layer, 0)])
        weights = inside.attention(self.bert, q, self._gates(r))
        raw, rolled = flow.mixing(weights, residual=False)[r.layer], flow.rollout(weights)
        through = None if r.position is None else _rounded(rolled[:, _token(q, r.position)], 4)
        return {"tokens": _shown(q), "raw": _rounded(raw, 4), "rollout": _rounded(rolled[r.layer], 4), "through": through,
                "python": self._python(r, f"flow.rollout(inside.attention(bert, question{_gates(r)}))", "flow")}

    def scores(self, r: Request) -> dict:
        """``position`` is the query."""
        q = self._ask(r)
        found = inside.scores(self.bert, q, r.layer, r.head)
        at = _token(q, r.position or 0)
        return {"tokens": _shown(q), "query": at, "products": _rounded(found.query[at] * found.key, 5),
                "score": _rounded(found.score[at], 5), "weights": _rounded(found.weights[at], 5),
                "python": self._python(r, f"inside.scores(bert, question, layer={r.layer}, head={r.head})")}

    def importance(self, r: Request) -> dict:
        found = inside.importance(self.bert, self._ask(r), self._gates(r))
        return {"gradient": _rounded(found.gradient, 6), "loss": found.loss, "targets": found.targets,
                "python": self._python(r, f"inside.importance(bert, question{_gates(r)})")}

    def pruning(self, r: Request, progress: Callable[[int, int], None] | None = None) -> dict:
        q = self._ask(r)
        points = max(2, min(PRUNED, WORK_LIMIT // (2 * len(q.ids))))
        found = pruning.closing(self.bert, q, points, progress)
        return {"order": found.order.tolist(), "closed": found.closed.tolist(), "ordered": _rounded(found.ordered, 5),
                "reverse": _rounded(found.reverse, 5),
                "python": self._python(r, f"pruning.closing(bert, question, points={points})", "pruning")}

    def truth(self, r: Request, progress: Callable[[int, int], None] | None = None) -> dict:
        """Of every mask the words that are likeliest by the truth or by the model."""
        q, world = self._ask(r), self._world()
        if len(q.ids) > EXACT_LIMIT:
            raise ValueError(f"the truth is shown of texts of at most {EXACT_LIMIT} tokens, and this one has {len(q.ids)}")
        found, hidden = posterior.asked(self.bert, world, q), dict(zip(q.masked, q.truth))
        masks = []
        for one in found:
            some = np.argsort(-np.maximum(one.truth, one.model), kind="stable")[:r.top]
            stood = hidden[one.place]
            masks.append({
                "position": one.place, "distance": one.distance, "hidden": None if stood is None else q.tokens[one.place],
                "best": float(entropy(one.truth)),
                "words": [{"word": world.words[i], "truth": float(one.truth[i]), "model": float(one.model[i])}
                          for i in sorted(some, key=lambda i: -one.truth[i])]})
        return {"masks": masks, "python": self._python(r, "posterior.asked(bert, subject.world_of(bert), question)", "posterior",
                                                       "subject")}

    def tree(self, r: Request, progress: Callable[[int, int], None] | None = None) -> dict:
        """The text as it is read, with nothing hidden. ``layer``: of the L+1 hidden states, the embeddings first."""
        q, learned = inside.ask(self.bert, r.text), self._learned
        if not 0 <= r.layer < len(learned.maps):
            raise IndexError(f"there is no hidden state {r.layer}: the model has those from 0, the embeddings, to "
                             f"{len(learned.maps) - 1}")
        words = [token for token, added in zip(q.tokens, q.added) if not added]
        if len(words) < 2:
            raise ValueError("a tree has at least two words: type more")
        gold = next((s.heads for s in learned.test if list(s.words) == words), None)
        call = f"structural.tree(bert, structural.learn(bert, sentences, {RANK}), {words!r}, layer={r.layer})"
        return {"words": words, "edges": structural.tree(self.bert, learned, words, r.layer), "uuas": learned.uuas,
                "gold": None if gold is None else [[i, head] for i, head in enumerate(gold) if head >= 0],
                "sentences": [" ".join(s.words) for s in learned.test if len(s.words) > 5][:SENTENCES],
                "python": ["import minibert; from minibert.analysis import structural, subject, trees",
                           f"bert = minibert.load({self._model})",
                           "sentences = trees.parsed(subject.of(bert, quick=True))", call]}

    def exits(self, r: Request) -> dict:
        """The text as it is read, with nothing hidden: a speed is no part of the question."""
        if self.judge is None:
            raise ValueError("this model has no branches by which a text could leave: open one that minibert compress early-exit "
                             "made")
        found = early.said(self.judge, r.text, r.pair)
        return {"labels": self.judge.labels, "layers": [{"layer": one.layer, "uncertainty": round(one.uncertainty, 5),
                                                          "shares": _rounded(one.shares, 5)} for one in found],
                "python": ["from minibert.finetuning import early, saved", f"model = saved.load({self._model})",
                           f"early.said(model, {r.text!r}{'' if r.pair is None else f', {r.pair!r}'})"]}

    def attribution(self, r: Request, progress: Callable[[int, int], None] | None = None) -> dict:
        q = self._ask(r)
        if r.steps > (most := max(1, WORK_LIMIT // len(q.ids))):
            raise ValueError(f'"steps" must be from 1 to {most} for a text of {len(q.ids)} tokens, got {r.steps}: all steps '
                             f"together read at most {WORK_LIMIT:,} tokens")
        found = inside.attribution(self.bert, q, r.position, r.word, r.steps, progress)
        asked = ("" if r.position is None else f", position={r.position}") + ("" if r.word is None else f", word={r.word!r}")
        return {"tokens": _shown(q), "position": found.position, "word": found.word, "value": found.value,
                "baseline": found.baseline, "error": found.error, "gradient_input": _rounded(found.gradient_input, 5),
                "integrated": _rounded(found.integrated, 5), "steps": r.steps,
                "python": self._python(r, f"inside.attribution(bert, question{asked}, steps={r.steps})")}

    def neighbours(self, r: Request) -> dict:
        """Begins to read the text when it is asked first; until that is done the answer says how far it is."""
        q, at = self._ask(r), 1 if r.position is None else r.position
        with self._lock:
            if self._index is None:
                if self._reading is None:
                    self._reading = {"done": 0, "all": 0, "error": None}
                    threading.Thread(target=self._read, daemon=True).start()
                elif error := self._reading["error"]:
                    self._reading = None  # whoever asks again tries again
                    raise ValueError(error)
                return {"reading": dict(self._reading)}
        found = self._index.nearest(q, at, r.top)
        names = ["embeddings", *(f"layer {i}" for i in range(self.bert.config.num_hidden_layers))]
        return {"token": _shown(q)[at], "position": at, "count": len(self._index), "source": self._index_name,
                "layers": [{"name": name, "neighbours": [n._asdict() for n in near]} for name, near in zip(names, found)],
                "python": self._python(r, f"inside.Neighbours.of(bert, sentences).nearest(question, {at}, top={r.top})")}

    def _read(self) -> None:
        try:
            name, sentences = self._sentences()
            index = inside.Neighbours.of(self.bert, sentences,
                                         progress=lambda done, whole: self._reading.update(done=done, all=whole))
            with self._lock:
                self._index, self._index_name = index, name
        except (OSError, ValueError, MemoryError) as error:
            self._reading["error"] = f"the text to look for neighbours in cannot be read: {error}"

    @cached_property
    def _learned(self) -> structural.Learned:
        """Learned when a tree is asked for first; of the long requests, of which this is one, the server takes one at a time."""
        return structural.learn(self.bert, trees.parsed(subject.of(self.bert, self._world(), quick=True)), RANK)

    def _world(self) -> World:
        if self.world is None:
            raise ValueError("the truth is known of a generated language only: open a model that was trained on one (minibert "
                             "train --corpus world-small --no-next-sentence)")
        return self.world

    def _python(self, r: Request, call: str, *modules: str) -> list[str]:
        """The lines that compute the answer, and before them the import."""
        pair = "" if r.pair is None else f", pair={r.pair!r}"
        hide = f", hide={list(r.hide)}" if r.hide else ""
        return [f"import minibert; from minibert.analysis import {', '.join(['inside', *modules])}",
                f"bert = minibert.load({self._model})",
                f"question = inside.ask(bert, {r.text!r}{pair}{hide})", call]

    def _ask(self, r: Request) -> inside.Question:
        return inside.ask(self.bert, r.text, r.pair, r.hide)

    def _gates(self, r: Request) -> np.ndarray | None:
        return inside.open_gates(self.bert, r.off) if r.off else None


class Endpoint(NamedTuple):
    name: str
    does: str
    example: dict
    long: bool = False  # it may take long, and is given whom to tell how far it is: ``view(request, progress)``
    needs: str = ""  # an attribute of the views that not every model has


_SENTENCE = {"text": "they are not supported.", "hide": [2]}
ENDPOINTS = (
    Endpoint("tokens", "the WordPieces with their ids, segments and places in the text", {"text": "Unaffable exceptions!"}),
    Endpoint("guesses", "the likeliest words for each [MASK], entropy, rank of the truth, loss", {**_SENTENCE, "top": 5}),
    Endpoint("layers", "what the same head reads from every hidden state at one [MASK]", _SENTENCE),
    Endpoint("attention", "the weights of one head, T × T, and small maps of all of them, L × A, in base64", _SENTENCE),
    Endpoint("scores", "one row of one head before the softmax, split per dimension", {**_SENTENCE, "layer": 1, "position": 2}),
    Endpoint("importance", "the gradient of the loss with respect to the gate of each head", {**_SENTENCE, "off": [[0, 0]]}),
    Endpoint("attribution", "gradient × input and integrated gradients of a guess", {**_SENTENCE, "steps": 32}, long=True),
    Endpoint("rollout", "attention of a layer, and the shares of the input tokens after it", {**_SENTENCE, "layer": 1}),
    Endpoint("pruning", "the loss as heads are switched off, the least important first", _SENTENCE, long=True),
    Endpoint("truth", "of a generated language: the exact posterior beside the guess", {"text": "she [MASK] ."}, True, "world"),
    Endpoint("tree", "of a generated language: the tree that a structural probe finds", {"text": "she learns .", "layer": 1},
             True, "world"),
    Endpoint("exits", "of a model with branches: what each says of a text, and how unsure it is", {"text": "a fine film."},
             needs="judge"),
    Endpoint("side_by_side", "with --beside: what both models guess", _SENTENCE, needs="beside"),
    Endpoint("neighbours", "the nearest tokens of a text, at each layer", {**_SENTENCE, "position": 2, "top": 3}),
)


def _judge(folder: str | os.PathLike[str] | None) -> saved.Model | None:
    """The classifier of a folder, where texts can leave it early."""
    if folder is None or not (Path(folder) / saved.READING).is_file():
        return None
    try:
        model = saved.load(folder)
    except ValueError:  # of several tasks, or otherwise none
        return None
    return model if model.leaves_early else None


def _gates(r: Request) -> str:
    return f", gates=inside.open_gates(bert, off={[list(h) for h in r.off]})" if r.off else ""


def _guess(g: inside.Guess) -> dict:
    return {**g._asdict(), "words": [{"word": word, "probability": p} for word, p in g.words]}


def _shown(q: inside.Question) -> list[str]:
    return ["[MASK]" if t in q.masked else token for t, token in enumerate(q.tokens)]


def _token(q: inside.Question, at: int) -> int:
    """``at``, which is checked."""
    if not 0 <= at < len(q.ids):
        raise IndexError(f"there is no token {at}: the text has {len(q.ids)}, from 0 to {len(q.ids) - 1}")
    return at


def _overview(q: inside.Question, weights: np.ndarray) -> dict:
    """The tokens, and of each head a map: the largest weight from each block of tokens to each other.

    Of a text that is not long every token is a block of its own; [CLS] and [SEP], which may be hidden, always are.
    """
    count = size = math.ceil(len(q.ids) / MAP_LIMIT)
    starts = []
    for t, added in enumerate(q.added):
        if added or count == size or q.added[t - 1]:
            starts.append(t)
            count = 0
        count += 1
    maps = np.maximum.reduceat(np.maximum.reduceat(weights, starts, axis=2), starts, axis=3)
    return {"tokens": _shown(q), "added": q.added, "blocks": starts, "maps": _packed(maps, 8)}


def _packed(x: np.ndarray, bits: int) -> dict:
    """Numbers from 0 to 1 in whole steps of 8 or 16 bits, little-endian, in base64."""
    if not np.isfinite(x).all():
        raise FloatingPointError("the attention is not finite: the model's weights are damaged, or its training went astray")
    steps = np.rint(x * np.float32(2**bits - 1)).astype(f"<u{bits // 8}")
    return {"shape": x.shape, "bits": bits, "base64": base64.b64encode(steps.tobytes()).decode("ascii")}


def _rounded(x: np.ndarray, digits: int) -> list:
    return np.round(x.astype(np.float64), digits).tolist()


def _whole(x: object) -> bool:
    return isinstance(x, int) and not isinstance(x, bool) and abs(x) < 1 << 31
