"""The command line. Nothing heavy is imported before a command runs, so that ``--help`` answers at once."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

DESCRIPTION = """\
BERT written out by hand in NumPy: train one, question it, look inside.

commands:
  train        from plain text to a trained BERT, with its learning curve
  fill-mask    let a model guess the words behind [MASK]
  tokenize     see how text becomes tokens and ids
  finetune     a model learns a task: classify, regress, tag, qa or choice
  predict      a fine-tuned model answers for a file
  info         parameters and memory of a model, part by part
  embed        a vector for each line of a file
  search       the lines of a file that are nearest in meaning to a query
  convert      a checkpoint from one format to another
  demo         a page in the browser that looks inside a model, live
"""
EXAMPLES = """\
examples:
  minibert fill-mask "the [MASK] statement raises an exception."
  minibert train
  minibert COMMAND --help

"minibert" is short for "python -m minibert", which runs where the command is not on the path.
"""
TRAIN = """\
From plain text to a trained BERT: learns a vocabulary, masks words, trains, and writes a folder
with the model, its learning curve and its guesses on text that it has not seen.

Without options it trains a tiny BERT on the documentation that comes with Python. Ctrl-C saves.
"""
FILL_MASK = """\
Let a model guess the words behind [MASK] in a text.

Several [MASK] in one text are each answered. Without a TEXT, one line after another is read
from the keyboard or a pipe.
"""
FILL_MASK_EXAMPLES = """\
examples:
  minibert fill-mask "the [MASK] statement raises an exception."
  minibert fill-mask --top 3 "[MASK] is a [MASK] language."
  minibert fill-mask --model runs/2026-11-22-221903 < sentences.txt
"""
TOKENIZE = """\
Show how text becomes the tokens and ids that a model reads.

The ids are those of transformers, but for characters that Unicode has only known for some
years, and for one letter: where capitals are lowered, a Greek sigma at the end of a word becomes
a final one (ς), as in Python and in the code that BERT was trained with; the library behind
transformers writes σ there.

Without a TEXT, one line after another is read from the keyboard or a pipe.
"""
TOKENIZE_EXAMPLES = """\
examples:
  minibert tokenize "Unaffable exceptions!"
  minibert tokenize --offsets "one sentence" --pair "and another"
  minibert tokenize --ids --vocab vocab.txt < text.txt
"""
INFO = """\
Show the parameters of a model by part, and the memory that using and training it takes.
"""
INFO_EXAMPLES = """\
examples:
  minibert info base --batch 32 --length 128
  minibert info large --length 512
  minibert info runs/2026-11-22-221903
"""
EMBED = """\
One vector for each line of a file, made from the vectors of its tokens and written as a NumPy
array: numpy.load(FILE) has a row for each line.

A folder that says how its vectors are made (a sentence encoder's) is followed.
"""
EMBED_EXAMPLES = """\
examples:
  minibert embed DIR sentences.txt
  minibert embed DIR sentences.txt --out vectors.npy --pooling cls --no-normalise
"""
SEARCH = """\
Find the lines of a file that are nearest in meaning to a query, by the angle between vectors.

The vectors are computed once and kept in FILE.vectors.safetensors. Without a QUERY, one line
after another is read from the keyboard or a pipe.
"""
SEARCH_EXAMPLES = """\
examples:
  minibert search DIR sentences.txt "how do I open a file?"
  minibert search DIR sentences.txt --top 3 < queries.txt
"""
CONVERT = """\
Write a checkpoint in another format, number for number. Read are safetensors, pytorch_model.bin
(new and old) and TensorFlow's bert_model.ckpt; written are the two of --to.
"""
CONVERT_EXAMPLES = """\
examples:
  minibert convert uncased_L-12_H-768_A-12 bert-base
  minibert convert bert-base bert-base-npz --to npz
"""
FINETUNE = """\
A trained model learns a task from labelled examples: a head is put on it, and all of it is trained
a little further. Looks at the data first, keeps the model that is best on the dev examples, and
writes a folder with it, its scores, its guesses and its errors.
"""
PREDICT = """\
Let a fine-tuned model guess for every example of a file. The guesses go to standard output as
tab-separated text; where the file has labels, the scores are shown.
"""
DEMO = """\
Open a page that shows what a model guesses, where it looks, what its guesses rest on, and how it
learned. It runs on this machine, needs no network, and answers nobody else.
"""
LITERAL_HELP = "special tokens that are written in a text, such as [SEP], are words and not those tokens"
MODEL_HELP = "folder of a run or of a BERT checkpoint (default: the model that comes with minibert)"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. The exit code: 0 done; 2 for input that cannot be used; 1 for a failure; 130 for Ctrl-C."""
    _safe_output()
    args, unknown = parser().parse_known_args(argv)
    if unknown:
        args.parser.error(f"unrecognized arguments: {' '.join(unknown)}")  # with the usage of the command, not of all
    try:
        code = args.run(args)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # whoever read our output has seen enough; the interpreter flushes once more at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        if args.debug:
            raise
        print("interrupted", file=sys.stderr)
        return 130
    except (ValueError, TypeError, OSError, RuntimeError, ArithmeticError, MemoryError) as error:
        if args.debug:
            raise
        print(f"minibert {args.command}: {_sentence(error)}", file=sys.stderr)
        return 2 if isinstance(error, (ValueError, TypeError, OSError)) else 1


def parser() -> argparse.ArgumentParser:
    """All commands and options."""
    from minibert.demo import options as demo
    from minibert.finetuning import options as finetuning
    from minibert.training import options

    top = argparse.ArgumentParser("minibert", usage="minibert [-h] [--version] COMMAND ...", description=DESCRIPTION,
                                  epilog=EXAMPLES, formatter_class=_Help, allow_abbrev=False)
    top.add_argument("--version", action=_Version)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", prog="minibert", help=argparse.SUPPRESS)

    def add(name: str, run: Any, description: str, examples: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, description=description, epilog=examples, formatter_class=_Help,
                                  allow_abbrev=False)
        sub.add_argument("--debug", action="store_true", help="show the traceback of an error")
        sub.set_defaults(run=run, parser=sub)
        return sub

    train = add("train", _train, TRAIN, options.EXAMPLES)
    options.add_arguments(train)

    finetune = add("finetune", _finetune, FINETUNE, finetuning.EXAMPLES)
    finetuning.add_arguments(finetune)
    finetuning.add_predict_arguments(add("predict", _predict, PREDICT, finetuning.PREDICT_EXAMPLES))

    fill = add("fill-mask", _fill_mask, FILL_MASK, FILL_MASK_EXAMPLES)
    fill.add_argument("texts", nargs="*", metavar="TEXT", help="text with [MASK], in quotes; - reads lines of standard input")
    fill.add_argument("--model", metavar="DIR", help=MODEL_HELP)
    fill.add_argument("--top", type=int, default=5, metavar="N", help="how many guesses to show (default: 5)")
    fill.add_argument("--truncate", action="store_true", help="cut off the end of a text that is too long, do not refuse it")
    fill.add_argument("--literal", action="store_true", help="special tokens that are written in a text, but [MASK], "
                      "are words and not those tokens")
    fill.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto", help="where to compute (default: auto)")

    tokens = add("tokenize", _tokenize, TOKENIZE, TOKENIZE_EXAMPLES)
    tokens.add_argument("texts", nargs="*", metavar="TEXT", help="text in quotes; - reads lines of standard input")
    source = tokens.add_mutually_exclusive_group()
    source.add_argument("--model", metavar="DIR", help=MODEL_HELP)
    source.add_argument("--vocab", metavar="FILE", help="a vocab.txt, instead of a model's")
    tokens.add_argument("--cased", action="store_true", help="with --vocab: keep capital letters and accents")
    tokens.add_argument("--pair", metavar="TEXT", help="a second text, as for next-sentence prediction")
    tokens.add_argument("--literal", action="store_true", help=LITERAL_HELP)
    tokens.add_argument("--ids", action="store_true", help="print nothing but the ids, a line for each text")
    tokens.add_argument("--offsets", action="store_true", help="show where in the text each token stands")

    about = add("info", _info, INFO, INFO_EXAMPLES)
    about.add_argument("model", nargs="?", metavar="MODEL", help="tiny, mini, small, medium, base or large; a config.json; or a "
                       "folder with one (default: the model that comes with minibert)")
    about.add_argument("--batch", type=int, default=32, metavar="N", help="texts at a time (default: 32)")
    about.add_argument("--length", type=int, metavar="T", help="tokens of each text (default: 128, or what the model can read)")
    about.add_argument("--vocab-size", type=int, metavar="V", help="another size of the vocabulary")
    about.add_argument("--threads", type=int, metavar="N", help="cores to train on (default: all)")

    vectors = add("embed", _embed, EMBED, EMBED_EXAMPLES)
    find = add("search", _search, SEARCH, SEARCH_EXAMPLES)
    for sub in (vectors, find):
        sub.add_argument("model", metavar="DIR", help="folder of a BERT checkpoint or of a run")
        sub.add_argument("file", metavar="FILE", help="text in UTF-8, one sentence or passage a line")
    vectors.add_argument("--out", metavar="FILE", help="where to write (default: the name of the file and .npy)")
    find.add_argument("queries", nargs="*", metavar="QUERY", help="what to look for, in quotes; - reads lines of standard input")
    find.add_argument("--top", type=int, default=10, metavar="N", help="how many lines to show (default: 10)")
    find.add_argument("--no-cache", action="store_true", help="neither keep the vectors nor use those that were kept")
    for sub in (vectors, find):
        sub.add_argument("--pooling", choices=("mean", "cls", "max"), help="what is made of the vectors of the tokens (default: "
                         "what the folder says, else mean)")
        if sub is vectors:
            sub.add_argument("--normalise", action=argparse.BooleanOptionalAction, help="bring every vector to length 1 "
                             "(default: what the folder says, else not)")
        sub.add_argument("--max-length", type=int, metavar="T", help="tokens of a line that are read (default: what the folder "
                         "says, else what the model can read)")
        sub.add_argument("--literal", action="store_true", help=LITERAL_HELP)
        sub.add_argument("--threads", type=int, metavar="N", help="cores to compute on (default: all)")
        sub.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto", help="where to compute (default: auto)")

    other = add("convert", _convert, CONVERT, CONVERT_EXAMPLES)
    other.add_argument("source", metavar="SRC", help="folder of a BERT checkpoint or of a run")
    other.add_argument("destination", metavar="DST", help="folder to write, made where there is none")
    other.add_argument("--to", choices=("safetensors", "npz"), default="safetensors", help="safetensors, which the usual tools "
                       "open, or a NumPy archive with TensorFlow's names (default: safetensors)")
    other.add_argument("--dtype", choices=("float32", "float16", "float64"), help="another type of numbers (default: as it is)")

    demo.add_arguments(add("demo", _demo, DEMO, demo.EXAMPLES))
    return top


def _train(args: argparse.Namespace) -> int:
    from minibert.training import command

    return command.run(args)


def _finetune(args: argparse.Namespace) -> int:
    from minibert.finetuning import command

    return command.run(args)


def _predict(args: argparse.Namespace) -> int:
    from minibert.finetuning import command

    return command.run_predict(args)


def _fill_mask(args: argparse.Namespace) -> int:
    import minibert
    from minibert import tables
    from minibert.text import UnknownText

    bert = minibert.load(args.model, args.device)
    mask = bert.tokenizer.vocab.special[-1] or "[MASK]"
    without = [text for text in args.texts if mask not in text and text != "-"]
    if without and len(args.texts) > 1:
        raise ValueError(f"{len(args.texts)} texts were given, and there is no {mask} in {without[0]!r}: put each text in quotes")
    _note(bert.notes)
    warnings.simplefilter("ignore", UnknownText)  # a note says it
    width, bar = _columns(), _writable("█", "#")

    def answer(text: str) -> str:
        table = tables.guesses(bert, text, args.top, args.truncate, width, bar, args.literal)
        _note(bert.reading(text.split(mask), args.literal).notes())
        return table

    return _each(args.texts, "a text with [MASK]", answer)


def _tokenize(args: argparse.Namespace) -> int:
    from minibert import tables
    from minibert.api import bundled
    from minibert.text import Tokenizer, Vocabulary

    if args.cased and not args.vocab:
        raise ValueError("--cased goes with --vocab: the folder of a model says itself whether it keeps capital letters")
    if args.ids and args.offsets:
        raise ValueError("--ids prints nothing but the ids, and --offsets more than them: give one of them")
    if args.vocab:
        vocab = Vocabulary.load(args.vocab)
        tokenizer = Tokenizer(vocab, lower_case=not args.cased, notes=vocab.notes)
    else:
        tokenizer = Tokenizer.load(args.model or bundled())
    _note(tokenizer.notes)
    return _each(args.texts, "a text",
                 lambda text: tables.tokens(tokenizer, text, args.pair, args.ids, args.offsets, args.literal))


def _note(notes: Sequence[str], of: str = "") -> None:
    """What there is to say about a model, a tokenizer or a text, beside the answers."""
    for note in notes:
        print(f"note: {of}{note}", file=sys.stderr)


def _info(args: argparse.Namespace) -> int:
    from minibert import info
    from minibert.training.workers import available_cores

    if args.model is None:
        from minibert.api import bundled

        name, config = "bundled model", info.config_of(str(bundled()))
    else:
        name, config = args.model, info.config_of(args.model)
    if args.vocab_size is not None:
        config = config.replace(vocab_size=args.vocab_size)
    print(info.report(config, name, args.batch, args.length, available_cores() if args.threads is None else args.threads))
    return 0


def _embed(args: argparse.Namespace) -> int:
    import minibert
    from minibert import sentence_vectors
    from minibert.files import not_over, writing
    from minibert.search import read_lines
    from minibert.training.workers import keep_freed_memory

    lines = read_lines(args.file)
    not_over(args.file, args.out)
    keep_freed_memory()
    bert = minibert.load(args.model, args.device)
    _note(bert.tokenizer.notes)
    pooling = bert.pooling(args.pooling, args.normalise, args.max_length, args.literal)
    with _progress() as progress:
        vectors, cut, reading = sentence_vectors.embed(bert, lines, pooling, args.threads, progress)
    out = args.out or f"{args.file}.npy"
    with writing(out) as file:
        import numpy as np

        np.save(file, vectors)
    print(f"{out}: {vectors.shape[0]:,} vectors of {vectors.shape[1]} numbers ({vectors.dtype}), {pooling}")
    _note(reading.notes())
    if cut:
        print(f"{cut:,} of the lines were longer than the model reads, and lost their end")
    if blank := sum(not line.strip() for line in lines):
        print(f"{blank:,} of the lines are blank: their vectors say nothing")
    return 0


def _search(args: argparse.Namespace) -> int:
    import minibert
    from minibert import tables
    from minibert.search import Index
    from minibert.training.workers import keep_freed_memory

    keep_freed_memory()
    bert = minibert.load(args.model, args.device)
    _note(bert.tokenizer.notes)
    pooling = bert.pooling(args.pooling, True, args.max_length, args.literal)
    with _progress() as progress:
        index = Index.of(bert, args.file, pooling, cache=not args.no_cache, threads=args.threads, progress=progress,
                         say=lambda note: print(f"note: {note}", file=sys.stderr))
    _note(index.reading.notes(), f"{args.file}: ")
    width = _columns()

    def answer(query: str) -> str:
        found = index.search(query, args.top)
        _note(bert.reading(query.lower() if pooling.lower_case else query, args.literal).notes())
        return tables.matches(found, width)

    return _each(args.queries, "what to look for", answer)


def _progress() -> Any:
    """A bar over tokens, with the time that is left, where standard error is a terminal."""
    from contextlib import contextmanager

    @contextmanager
    def bar() -> Iterator[Any]:
        from tqdm import tqdm

        with tqdm(unit=" tokens", unit_scale=True, disable=None, dynamic_ncols=True, leave=False) as shown:
            def progress(done: int, total: int) -> None:
                shown.total = total
                shown.update(done - shown.n)

            yield progress

    return bar()


def _convert(args: argparse.Namespace) -> int:
    from minibert.convert import convert

    for line in convert(args.source, args.destination, args.to, args.dtype):
        print(line)
    return 0


def _demo(args: argparse.Namespace) -> int:
    from minibert.demo import command

    return command.run(args)


def _each(texts: Sequence[str], what: str, answer: Any) -> int:
    """Print the answer to each text; lines of standard input where there is none, or a "-"."""
    if texts and "-" not in texts:
        for text in texts:
            print(answer(text))
        return 0
    if not texts and sys.stdin is not None and sys.stdin.isatty():
        return _converse(what, answer)
    for number, line in enumerate(_lines(), start=1):
        if line.strip():
            try:
                print(answer(line), flush=True)
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from None
    return 0


def _lines() -> Iterator[str]:
    """Lines of standard input, as UTF-8 whatever the machine's own encoding is."""
    from minibert.files import standard_input

    for number, line in enumerate(standard_input(), start=1):
        try:
            text = line.decode("utf-8") if isinstance(line, bytes) else line
        except UnicodeDecodeError as error:
            raise ValueError(f"line {number} of standard input is not UTF-8: byte 0x{error.object[error.start]:02x} "
                             f"at place {error.start}") from None
        yield text.rstrip("\r\n")


def _converse(what: str, answer: Any) -> int:
    """Ask at the terminal until there is no answer."""
    print(f"Type {what} and press Enter; an empty line ends it.")
    while True:
        try:
            text = input("> ").strip()
        except EOFError:
            print()
            return 0
        if not text:
            return 0
        try:
            print(answer(text))
        except ValueError as error:
            print(_sentence(error))


def _sentence(error: BaseException) -> str:
    """What an error says to a user: no error numbers, no class names."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, MemoryError):
        return f"there is not enough memory ({error or 'no more is known'}); try a smaller batch or model"
    return str(error) or type(error).__name__


def _safe_output() -> None:
    """A console that cannot show a character shows a question mark instead of stopping the program."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the shell
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def _writable(character: str, instead: str) -> str:
    """``character``, or what stands in for it where standard output cannot show it."""
    try:
        character.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return instead
    return character


def _columns() -> int:
    import shutil

    return max(60, min(100, shutil.get_terminal_size((80, 24)).columns))


class _Help(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str, **options: Any) -> None:
        super().__init__(prog, **{"max_help_position": 28, **options})


class _Version(argparse.Action):
    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, help="show the version and leave")

    def __call__(self, parser: argparse.ArgumentParser, *args: Any) -> None:
        import minibert

        print(f"minibert {minibert.__version__}")
        parser.exit()
