"""Text to ids: minibert, the ``tokenizers`` library (Rust), and transformers' pure-Python tokenizer, in megabytes a second.

All on one thread, all with the same vocabulary, line by line, in processor time, so that other work of the machine counts
little; their ids are compared over the whole text. minibert remembers the ids of words: *fresh* begins without any, as a
process does that reads its first text, *warm* has read the text before. *batch* is each of the two called once for all
lines. The pure-Python one reads a part of the text only, it takes long.

    python -m benchmarks.tokenizer                                  # the English that Python carries, the bundled vocabulary
    python -m benchmarks.tokenizer --vocab vocab.txt TEXT…
    python -m benchmarks.tokenizer --byte-pairs 30000 TEXT…         # learned from every second line, measured on the others
    python -m benchmarks.tokenizer --vocab DIR TEXT…                # a folder with byte pairs or unigram pieces
    python -m benchmarks.tokenizer --vocab FILE.model TEXT…         # a model of SentencePiece, beside sentencepiece
"""

from __future__ import annotations

import gc
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import common
from minibert import pretrained
from minibert.data import python_docs
from minibert.text import Tokenizer, Vocabulary
from minibert.text.bytepairs import BytePairs
from minibert.text.frame import ROBERTA
from minibert.text.learn import learn_bpe
from minibert.text.sentencepiece import SentencePiece
from minibert.text.unigram_pieces import UnigramPieces

Run = Callable[[Sequence[str]], list[list[int]]]

os.environ["TOKENIZERS_PARALLELISM"] = "false"  # one thread for all
PURE_PYTHON = 200_000  # characters that the pure-Python one reads


class Contest(NamedTuple):
    """One vocabulary: how our tokenizer is made, the library's, and, where there are, the one in Python and sentencepiece's."""

    name: str
    ours: Callable[[], Tokenizer | SentencePiece]
    library: Any = None
    pure: Run | None = None
    sentencepiece: Run | None = None


def fresh(make: Callable[[], Tokenizer], times: int) -> Run:
    made = [make() for _ in range(times)]  # before the clock starts, as for the others

    def run(lines: Sequence[str]) -> list[list[int]]:
        tokenizer = made.pop()
        return [tokenizer.ids(line) for line in lines]

    return run


def at_once(make: Callable[[], Tokenizer], times: int) -> Run:
    made = [make() for _ in range(times)]
    return lambda lines: [*made.pop().ids_of(lines)]


def warm(make: Callable[[], Tokenizer]) -> Run:
    tokenizer = make()
    return lambda lines: [tokenizer.ids(line) for line in lines]


def rust(tokenizer: Any) -> tuple[Run, Run]:
    """Line by line, and with one call for all lines."""
    return (lambda lines: [tokenizer.encode(line, add_special_tokens=False).ids for line in lines],
            lambda lines: [e.ids for e in tokenizer.encode_batch_fast(list(lines), add_special_tokens=False)])


def word_pieces(path: Path, lower_case: bool) -> Contest:
    from tokenizers import BertWordPieceTokenizer

    vocabulary = Vocabulary.load(path)
    return Contest(path.name, lambda: Tokenizer(vocabulary, lower_case=lower_case),
                   BertWordPieceTokenizer(dict(vocabulary.index), lowercase=lower_case)._tokenizer, pure_python(path, lower_case))


def byte_pairs(name: str, vocabulary: Vocabulary, merges: Sequence[tuple[str, str]]) -> Contest:
    from tokenizers import ByteLevelBPETokenizer

    return Contest(name, lambda: Tokenizer(vocabulary, method=BytePairs, frame=ROBERTA, merges=merges, added=()),
                   ByteLevelBPETokenizer(dict(vocabulary.index), list(merges))._tokenizer)


def unigram(path: Path) -> Contest:
    from tokenizers import Tokenizer as Library

    with tempfile.TemporaryDirectory() as folder:
        Tokenizer.load(path).save(folder)
        library = Library.from_file(str(Path(folder, "tokenizer.json")))
    loaded = Tokenizer.load(path)

    def ours() -> Tokenizer:
        return Tokenizer(loaded.vocab, method=UnigramPieces, added=loaded.added, scores=loaded.method.scores,
                         steps=loaded.method.steps)

    return Contest(path.name, ours, library)


def model_file(path: Path) -> Contest:
    from sentencepiece import SentencePieceProcessor

    theirs = SentencePieceProcessor(model_file=str(path))
    return Contest(path.name, lambda: SentencePiece.load(path),
                   sentencepiece=lambda lines: [theirs.encode(line) for line in lines])


def pure_python(path: Path, lower_case: bool) -> Run:
    """transformers' tokenizer as it was in all Python; version 5 keeps it under another name."""
    try:
        from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy as Slow
    except ImportError:
        from transformers import BertTokenizer as Slow
    tokenizer = Slow(str(path), do_lower_case=lower_case)
    return lambda lines: [tokenizer.convert_tokens_to_ids(tokenizer.tokenize(line)) for line in lines]


def measure(name: str, lines: list[str], contest: Contest, rounds: int) -> dict[str, Any]:
    """Megabytes a second of each and by how much fresh minibert is faster, medians over rounds that alternate; and on how many
    lines the ids differ from minibert's."""
    few: list[str] = []
    while len(few) < len(lines) and sum(map(len, few)) < PURE_PYTHON:
        few.append(lines[len(few)])
    runs: dict[str, tuple[Run, list[str]]] = {
        "minibert, fresh": (fresh(contest.ours, rounds + 1), lines), "minibert, warm": (warm(contest.ours), lines)}
    if isinstance(contest.ours(), Tokenizer):
        runs["minibert, batch"] = at_once(contest.ours, rounds + 1), lines
    if contest.library:
        one_by_one, batch = rust(contest.library)
        runs |= {"tokenizers": (one_by_one, lines), "tokenizers, batch": (batch, lines)}
    if contest.sentencepiece:
        runs["sentencepiece"] = contest.sentencepiece, lines
    if contest.pure:
        runs["transformers, pure Python"] = contest.pure, few
    seconds: dict[str, list[float]] = {key: [] for key in runs}
    ids: dict[str, list[list[int]]] = {}
    for number in range(-1, rounds):
        for key, (run, text) in runs.items():
            gc.collect()
            gc.disable()  # as timeit does: its rounds through the ids of all others would be counted as this one's time
            began = time.process_time()
            found = run(text)
            took = time.process_time() - began
            gc.enable()
            ids[key] = found
            if number >= 0:
                seconds[key].append(took)
        common.progress(f"{name}: round {number + 1} of {rounds}")
    common.progress("")
    own = ids["minibert, fresh"]
    size = {key: sum(len(line.encode()) for line in text) / 1e6 for key, (_, text) in runs.items()}
    return {"text": name, "megabytes": size["minibert, fresh"], "seconds": seconds,
            "speed": {key: size[key] / common.median(seconds[key]) for key in runs},
            "faster": {key: common.median([theirs / ours for theirs, ours in zip(seconds[key], seconds["minibert, fresh"])])
                       * size["minibert, fresh"] / size[key] for key in runs},
            "lines_that_differ": {key: sum(a != b for a, b in zip(own, found)) for key, found in ids.items()}}


def _contest(options: Any, lines: list[str]) -> tuple[Contest, list[str]]:
    """Who reads, and which lines."""
    if options.byte_pairs:
        vocabulary, merges = learn_bpe(lines[::2], options.byte_pairs)
        return byte_pairs(f"{len(vocabulary):,} byte pairs", vocabulary, merges), lines[1::2]
    path = options.vocab or pretrained.bundled() / "vocab.txt"
    if path.suffix == ".model":
        return model_file(path), lines
    if path.is_dir():
        tokenizer = Tokenizer.load(path)
        if isinstance(tokenizer.method, UnigramPieces):
            return unigram(path), lines
        return byte_pairs(path.name, tokenizer.vocab, tokenizer.method.merges), lines
    return word_pieces(path, not options.cased), lines


def main() -> None:
    parser = common.arguments(__doc__.split("\n")[0])
    parser.add_argument("texts", nargs="*", type=Path, metavar="TEXT", help="text files; the English of Python if none is given")
    parser.add_argument("--vocab", type=Path,
                        help="vocab.txt, a folder with another kind, or a .model; the bundled one if not given")
    parser.add_argument("--cased", action="store_true", help="the vocabulary tells capitals from small letters")
    parser.add_argument("--byte-pairs", type=int, metavar="SIZE", help="learn so many byte pairs from every second line instead")
    options = parser.parse_args()
    common.need("tokenizers", "transformers")
    texts = {path.name: path.read_text(encoding="utf-8").splitlines() for path in options.texts}
    if not texts:
        texts = {"English of Python": [sentence for document in python_docs.documents() for sentence in document]}
    if empty := [name for name, lines in texts.items() if not any(lines)]:
        sys.exit(f"error: {', '.join(empty)}: no text")
    where = common.machine(1)
    print(common.describe(where), flush=True)
    results = []
    for name, lines in texts.items():
        contest, lines = _contest(options, lines)
        result = measure(name, lines, contest, options.rounds)
        results.append(result)
        speed, differ = result["speed"], result["lines_that_differ"]
        print(f"\n{name}: {result['megabytes']:.2f} MB, {len(lines):,} lines, vocabulary of {contest.name}\n")
        common.table(["", "MB/s", "minibert fresh is faster by", "lines with other ids"],
                     [[key, speed[key], result["faster"][key], differ[key]] for key in speed])
        path = common.write("tokenizer", where, results, options.json)
    print(f"\nfigures: {path}")


if __name__ == "__main__":
    main()
