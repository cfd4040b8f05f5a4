"""The classroom demo: ``python -m minibert demo`` opens a page that looks inside a BERT, live.

    command     the options, the port, the browser
    server      HTTP on this machine only: the page's files, and JSON
    views       what each endpoint answers: calls of ``minibert.analysis``, and the lines of Python that do the same
    examples    sentences to begin with
    watch       a run's curves and probes, while it trains and afterwards
    export      one self-contained file; ``bert.show_attention(text)``
    page/       plain HTML, CSS and JavaScript modules
"""
