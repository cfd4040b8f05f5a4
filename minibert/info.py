"""The text of ``minibert info``: sizes, parameters by part, memory by part."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from minibert import memory, pretrained, swap
from minibert.config import PRESETS, BertConfig
from minibert.memory import Part, size
from minibert.model import bodies, pretraining
from minibert.model.heads import branch
from minibert.pretrained import families, formats, unread
from minibert.pretrained.families import without_effect
from minibert.pretrained.folder import DECODER, match
from minibert.pretrained.folder import config_of as folder_config
from minibert.sentence_vectors import Pooling
from minibert.text import Tokenizer
from minibert.text.saved import has_vocabulary
from minibert.workers import micro_batch_tokens

WIDTH = 78
HEADS = {"mlm": "masked words", "nsp": "next sentence", "replaced": "replaced words"}
OF_A_LAYER = ("attention of one layer", "feed-forward", "bottlenecks", "layer norms", "scales and shifts")


def config_of(name: str, weights: str | None = None, heads: int | None = None) -> BertConfig:
    """The configuration behind a preset's name (``base``, ``albert/xlarge``), a ``config.json``, or a folder, with one or not."""
    if name in PRESETS:
        return BertConfig.preset(name)
    path = Path(name)
    family, _, size = name.partition("/")
    if family in families.FAMILIES and not path.exists():
        return families.preset(family, size)
    if path.is_dir():
        swap.settle(path)
        file = formats.of(path, weights)
        if file is not None:
            return folder_config(path, file, heads)[0]
        path = families.config_path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{name}: neither a preset ({', '.join(PRESETS)}) nor a config.json nor a folder that has one")
    return pretrained.read_config(path)


def checkpoint(folder: Path, config: BertConfig, weights: str | None = None) -> str:
    """What the files of a model's folder hold: weights and their format, heads, tokenizer, sentence vectors. No number is read.

    Raises what ``pretrained.load`` raises for weights that are damaged or do not belong to the configuration.
    """
    file = formats.of(folder, weights)
    if file is None:
        return f"No weights in this folder, {unread.named(folder) or 'only a configuration'}."
    with formats.opened(file) as reader:
        layout, found, notes = match(reader, config)
        count = sum(math.prod(reader.shapes[stored]) for stored in found.values())
        types = ", ".join(sorted({reader.dtypes[stored] for stored in found.values()}))
        rows = [("Weights", f"{file.name} ({reader.format}), {size(reader.size)}"),
                ("", f"{count:,} numbers of {types} in {len(found)} tensors")]
        told = families.config_path(folder).is_file() or getattr(reader, "config", None)
        inside = getattr(reader, "tokenizer", None)
        tokenizer = inside() if inside and not has_vocabulary(folder) else None
    if not told:
        rows.append(("Sizes", f"of the tensors, for there is no {families.CONFIG}; that there are {config.num_attention_heads} "
                     "heads no tensor tells: --heads does"))
    heads = {"pooler": "bert.pooler." if config.pooler in ("tanh", "relu") else None,
             **{HEADS[name]: f"{head.path}." for name, head in pretraining.of(config).heads.items()}}
    lacking = {name for name in layout.slots if name not in found} | {name for name in found if name == DECODER}
    there = {head: "no" if any(name.startswith(start) for name in lacking) or not any(name.startswith(start) for name in found)
             else "yes" for head, start in heads.items() if start}
    rows.append(("Heads", "; ".join(f"{head}: {has}" for head, has in there.items())))
    rows += [("", note) for note in notes]
    ways = [f"{branch.PATH}.{i}." for i in range(1, config.num_hidden_layers) if f"{branch.PATH}.{i}.weight" in found]
    if ways:
        rows.append(("Branches", f"after layer {', '.join(way.split('.')[1] for way in ways)}: predict --speed lets texts leave "
                     "there"))
    if others := [found[name] for name in sorted(found.keys() - layout.slots) if not name.startswith(tuple(ways))]:
        rows.append(("Others", ", ".join(f"{name} {reader.shapes[name]}" for name in others[:8]) + (" …" if others[8:] else "")))
    rows += [("" if i else "Tokenizer", line) for i, line in enumerate(_tokenizer(tokenizer or folder, config))]
    if config.filter_sizes:  # its tokens have none that could be pooled
        return _rows(rows)
    try:
        pooling = Pooling.of(folder)
        limit = f", at most {pooling.max_length} tokens" if pooling.max_length else ""
        rows.append(("Vectors", f"{pooling}{limit}" + (" (its modules.json)" if (folder / "modules.json").is_file() else
                                                       " (the default: the folder does not say)")))
    except ValueError as error:
        rows.append(("Vectors", str(error)))
    return _rows(rows)


def _rows(rows: list[tuple[str, str]]) -> str:
    return "\n".join(f"{what:<11}{text}" for what, text in rows)


def _tokenizer(source: Tokenizer | Path, config: BertConfig) -> list[str]:
    """What kind of tokenizer it is, and what there is to say about it."""
    try:
        tokenizer = source if isinstance(source, Tokenizer) else Tokenizer.load(source)
    except FileNotFoundError:
        return ["none: there is no vocab.txt, without which the model cannot read"]
    tokens = len(tokenizer.vocab)
    padding = f" ({config.vocab_size - tokens} rows of the table are padding)" if config.vocab_size > tokens else ""
    accents = tokenizer.lower_case if tokenizer.strip_accents is None else tokenizer.strip_accents
    added = f", {tokenizer.vocab.added:,} of them added" if tokenizer.vocab.added else ""
    cut = f", cut by {tokenizer.cut.rule}" if tokenizer.cut else ""
    kind = (f"{'uncased' if tokenizer.lower_case else 'cased'}, accents {'removed' if accents else 'kept'}, {tokens:,} tokens"
            f"{added}{padding}, at most {min(tokenizer.max_length, config.max_tokens):,} a text{cut}")
    return [kind, *tokenizer.notes]


def report(config: BertConfig, name: str, batch: int = 32, length: int | None = None, workers: int = 1,
           weights: str | None = None, **trained: bool) -> str:
    """The whole text, for ``batch`` texts of ``length`` tokens (default: 128, or as many as the model can read).

    ``weights``: which of several files of a folder. ``trained``: how, as ``memory.training`` takes it: ``average``, ``factored``,
    ``recompute``.

    Raises ValueError for a length that the model cannot read, for numbers below 1, and where nothing can be computed again.
    """
    limit = config.max_tokens
    length = min(128, limit) if length is None else length
    for option, value in {"batch": batch, "length": length, "threads": workers}.items():
        if not 1 <= value < 2**31:
            raise ValueError(f"--{option} must be {'at least 1' if value < 1 else 'below 2**31'}, got {value}")
    if length > limit:
        raise ValueError(f"--length is {length}, but the model has {limit} positions (max_position_embeddings)")
    if trained.get("recompute"):
        bodies.check_recompute(config)
    blocks = [_sizes(config, name), _parameters(config), _memory(config, batch, length, workers, trained)]
    if Path(name).is_dir():
        blocks.insert(1, checkpoint(Path(name), config, weights))
    if unknown := without_effect(config):
        blocks.insert(1, f"Keys of the configuration that have no effect here: {', '.join(unknown)}")
    if name in ("base", "large"):
        blocks.append(_common_table(config.vocab_size))
    return "\n\n".join(blocks)


def _sizes(c: BertConfig, name: str) -> str:
    if c.filter_sizes:
        return (f"{name}: two convolutions each over {', '.join(map(str, c.filter_sizes))} tokens ({families.of(c).title}), "
                f"{c.hidden_size // len(c.filter_sizes):,} filters of each width,\n"
                f"{' ' * len(name)}  words of {c.embedding_width:,} numbers, a text of {c.hidden_size:,}, vocabulary "
                f"{c.vocab_size:,}, {c.max_position_embeddings:,} positions, dropout {c.hidden_dropout_prob:g}")
    kind = {"post_ln": "post-LN", "pre_ln": "pre-LN", "mobile": f"{c.attention_size:,} inside"}[c.block]
    kind += "" if c.model_type == "bert" else f", {families.of(c).title}"
    times = f"{c.ffn_count} × " if c.ffn_count > 1 else ""
    heads = _left(c.num_attention_heads, [len(heads) for heads in c.heads_of_layers or ()])
    return (f"{name}: {c.num_hidden_layers} layers ({kind}), hidden size {c.hidden_size:,}, {heads} heads of {c.head_size}, "
            f"feed-forward {times}{_left(c.intermediate_size, c.intermediate_sizes or ())} ({c.hidden_act}),\n"
            f"{' ' * len(name)}  vocabulary {c.vocab_size:,}, {c.max_position_embeddings:,} positions, "
            f"dropout {c.hidden_dropout_prob:g} (attention {c.attention_probs_dropout_prob:g})")


def _left(whole: int, layers: Sequence[int]) -> str:
    """How many a layer has: all, or from the fewest to the most of them."""
    return f"{min(layers):,} to {max(layers):,} of {whole:,}" if layers else f"{whole:,}"


def _parameters(c: BertConfig) -> str:
    n = memory.parameter_counts(c)
    V, H, E, P, S = c.vocab_size, c.hidden_size, c.embedding_width, c.max_position_embeddings, c.type_vocab_size
    I, F, W, window = c.intermediate_size, c.ffn_count, c.table_width, f"{c.word_window} × " if c.word_window > 1 else ""
    L, stored, layer = c.num_hidden_layers, len(set(c.uses)), sum(n[part] for part in memory.OF_A_LAYER)
    norm, norms = ("layer norm", "layer norms") if c.norm == "layer_norm" else ("scale and shift", "scales and shifts")
    feed_forward = f"2 × {c.attention_size:,} × {I:,} + {I:,} + {c.attention_size:,}"
    feed_forward = f"{F} × ({feed_forward})" if F > 1 else feed_forward
    of_a_layer = (f"4 × ({H:,} × {H:,} + {H:,})", feed_forward, "", f"{2 * F + 2} × {H:,}")
    if n["bottlenecks"]:
        of_a_layer = ("", feed_forward, f"between {H:,} and {c.attention_size:,}", "")
    of_all = f"{stored} × {layer:,}"
    if c.heads_of_layers or c.intermediate_sizes:
        of_a_layer, of_all = ("mean of the layers", "mean of the layers", *of_a_layer[2:]), ""
    decoder = f"word table, and {V:,} × {H - E:,}" if c.long_decoder else "its decoder is the word table"
    layers = ("the layer" if L == 1 else f"all {L} layers") + (f", with the weights of {stored}" if stored < L else "")
    rows = _of_convolutions(c, n) if c.filter_sizes else [
        ("word embeddings", f"{V:,} × {E:,}", n["word"]),
        ("position embeddings", f"{P:,} × {W:,}", n["position"]),
        *([("token types", f"{S:,} × {W:,}", n["type"])] if S else []),
        *([("task types", f"{c.task_type_vocab_size:,} × {W:,}", n["task"])] if n["task"] else []),
        (norm, f"2 × {W:,}", n["norm"]),
        *([("projection", f"{H:,} × {window}{E:,} + {H:,}", n["projection"])] if n["projection"] else []),
        None,
        *(row for row in zip((*OF_A_LAYER[:3], norms), of_a_layer, (n[part] for part in memory.OF_A_LAYER)) if row[2]),
        (layers, of_all, n["layers"]),
        None,
        *([("last layer norm", f"2 × {H:,}", n["final_norm"])] if c.norm_first else []),
        *([("pooler", f"{H:,} × {H:,} + {H:,}", n["pooler"])] if n["pooler"] else []),
        ("= encoder with pooler" if n["pooler"] else "= encoder", "", n["encoder"]),
        *([("masked-word head", decoder, n["mlm"])] if n["mlm"] else []),
        *([("next-sentence head", f"2 × {H:,} + 2", n["nsp"])] if n["nsp"] else []),
        *([("replaced-word head", f"{H:,} × {H:,} + 2 × {H:,} + 1", n["replaced"])] if n["replaced"] else []),
        (_whole(c, n), "", n["total"]),
    ]
    lines = [_line("Parameters", "", "number", "share"), "─" * WIDTH]
    for row in rows:
        if row is None:
            lines.append("")
        else:
            name, how, count = row
            share = "" if name in OF_A_LAYER and stored > 1 else f"{count / n['total']:.1%}"  # that of one layer would mislead
            lines.append(_line(name if name[0] == "=" else "  " + name, how, f"{count:,}", share))
    return "\n".join(lines)


def _of_convolutions(c: BertConfig, n: dict[str, int]) -> list[tuple[str, str, int] | None]:
    """The rows of a model without blocks."""
    V, H, E, F, widths = c.vocab_size, c.hidden_size, c.embedding_width, c.hidden_size // len(c.filter_sizes), sum(c.filter_sizes)
    rows = [
        ("word embeddings", f"{V:,} × {E:,}", n["word"]),
        ("position embeddings", f"{c.max_position_embeddings:,} × {E:,}", n["position"]),
        ("token types", f"{c.type_vocab_size:,} × {E:,}", n["type"]),
        ("convolutions", f"{widths} × {F:,} × ({E:,} + {F:,})", n["convolutions"]),
        ("batch norms", f"2 × 2 × {H:,}", n["layers"] - n["convolutions"]),
        None,
        ("= encoder", "", n["encoder"]),
        ("masked-word head", f"{V:,} × {H:,} + {V:,}", n["mlm"]),
        (f"= with its head; {n['statistics']:,} running statistics beside", "", n["total"])]
    return [row for row in rows if row is None or row[2]]


def _whole(c: BertConfig, n: dict[str, int]) -> str:
    """What the last line adds up."""
    heads = len(pretraining.of(c).heads)
    what = {0: "without a head", 1: "with the pre-training head", 2: "with both pre-training heads"}[heads]
    return f"= {what}" + (", without the pooler" if n["pooler"] and not n["nsp"] else "")


def _memory(c: BertConfig, batch: int, length: int, workers: int, trained: Mapping[str, bool]) -> str:
    at_once = micro_batch_tokens(c.hidden_size, batch * length, workers)
    texts = f"{batch:,} {'text' if batch == 1 else 'texts'} of {length:,} tokens"
    cores = "one core" if workers == 1 else f"{workers} cores"
    sections = {
        "To use the model": memory.inference(c, batch, length),
        "To train it on a GPU, the whole batch at once": memory.training(c, batch, length, **trained),
        f"To train it on the CPU with {cores}": memory.training_on_cores(c, batch, length, workers, at_once, **trained),
    }
    lines = [f"Memory for {texts}, in float32 (1 GB = 10⁹ bytes)", "─" * WIDTH]
    for title, parts in sections.items():
        lines += [title, *_lines(parts), ""]
    return "\n".join(lines[:-1])


def _lines(parts: list[Part]) -> Iterator[str]:
    whole = memory.total(parts)
    for part in parts:
        here = part.bytes * part.times
        how = f"{part.times} × {size(part.bytes)}" if part.times > 1 else ""
        yield _line("  " + part.name, how, size(here), f"{here / whole:.1%}")
    yield _line("= total", "", size(whole), "")


def _line(name: str, how: str, number: str, share: str) -> str:
    left = name + how.rjust(max(0, 54 - len(name)) if how else 0)
    return f"{left:<55}{number:>14}{share:>9}".rstrip()


def _common_table(vocab_size: int) -> str:
    """How the numbers that are passed around come about."""
    lines = ["The common table says of GPU memory: base, 110M, 7 GB+; large, 340M, 32 GB+. Where it goes:"]
    for name, batch, length in (("base", 32, 128), ("large", 32, 256), ("large", 12, 512)):
        config = BertConfig.preset(name, vocab_size=vocab_size)
        parts = memory.training(config, batch, length)
        fixed = memory.total(parts[:3])
        lines.append(f"  {name:<6}{batch} × {length} tokens: {size(fixed)} weights, gradients, moments + "
                     f"{size(memory.total(parts) - fixed)} activations = {size(memory.total(parts))}")
    lines.append("CUDA and its libraries take some 0.5 GB more. Weights alone are the small part: the batch decides.")
    return "\n".join(lines)
