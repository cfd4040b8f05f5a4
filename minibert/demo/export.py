"""One self-contained HTML file: the page's own drawing code, its style, and the answers to a few texts."""

from __future__ import annotations

import html
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from minibert.analysis import inside
from minibert.demo.views import Request, Views
from minibert.files import write_atomically

if TYPE_CHECKING:
    from minibert.pretrained import Trained

PAGE = Path(__file__).parent / "page"
MODULES = ("draw.js", "save.js", "ask.js", "views.js", "exported.js")  # each after those that it imports from
HEIGHT = 620  # pixels, of the frame in a notebook
_IMPORT = re.compile(r"^import [^;]*;\n", re.MULTILINE)
_EXPORT = re.compile(r"^export ", re.MULTILINE)


class Page:
    """A whole HTML page. Notebooks show it in a frame; ``save(path)`` writes it, ``str(page)`` is its text."""

    def __init__(self, source: str) -> None:
        self._source = source

    def __str__(self) -> str:
        return self._source

    def __repr__(self) -> str:
        return f"<a page of {len(self._source):,} characters; .save('FILE.html') writes it, a notebook shows it>"

    def _repr_html_(self) -> str:
        return (f'<iframe srcdoc="{html.escape(self._source)}" sandbox="allow-scripts allow-downloads" '
                f'style="width:100%;height:{HEIGHT}px;border:0" title="What a BERT looks at"></iframe>')

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the page to a file that opens in any browser, without a network."""
        write_atomically(path, self._source)


def page(bert: Trained, texts: Sequence[str | tuple[str, str]]) -> Page:
    """The attention of every text, and the guesses for its [MASK]s where the model has a masked-word head."""
    if not texts:
        raise ValueError("there is no text to show: pass at least one")
    views = Views(bert, "", lambda: ("", []))
    shown = []
    for one in texts:
        text, pair = (one, None) if isinstance(one, str) else one
        request = Request.of({"text": text, "pair": pair, "top": 5})
        question = inside.ask(bert, text, pair)
        answers = {"text": text if pair is None else f"{text} / {pair}", "attention": views.exported(request),
                   "cut": question.cut, "reading": views.reading(request, question)}
        if question.masked and not views.model()["why_no_guesses"]:
            answers |= {"guesses": views.guesses(request),
                        "layers": [views.layers(request._replace(position=t)) for t in question.masked]}
        shown.append(answers)
    c = bert.config
    title = f"a BERT of {c.num_hidden_layers} layers with {c.num_attention_heads} heads each"
    data = json.dumps({"title": title, "texts": shown}, separators=(",", ":")).replace("<", "\\u003c")
    script = "".join(_EXPORT.sub("", _IMPORT.sub("", (PAGE / name).read_text(encoding="utf-8"))) for name in MODULES)
    style = (PAGE / "style.css").read_text(encoding="utf-8")
    parts = {"style": style, "data": data, "script": script}
    return Page(re.sub(r"\{(style|data|script)\}", lambda place: parts[place[1]], _TEMPLATE))  # at once: a text may say {script}


_TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy"
      content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:">
<title>What a BERT looks at</title>
<link rel="icon" href="data:,">
<style>
{style}</style>
</head>
<body>
<header><h1>mini<span>bert</span></h1><p id="model"></p></header>
<main>
<p id="choice"></p>
<div id="view"></div>
</main>
<p id="readout" role="status" aria-live="polite"></p>
<script type="application/json" id="data">{data}</script>
<script type="module">
{script}</script>
</body>
</html>
"""
