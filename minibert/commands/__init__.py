"""One module a command: SUMMARY (a line of ``minibert --help``), TEXT, EXAMPLES, ``add_arguments(parser)``, ``run(args) -> int``.

``minibert.cli`` finds them by name. Nothing heavy is imported before a command runs, so that ``--help`` answers at once.
"""
