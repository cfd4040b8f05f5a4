"""What a task, an optimiser or an order of tasks buys, seen on a small model: one module for each claim.

A module has ``ASKS``, what is compared, and ``CRITERION``, what was claimed, in a sentence each;
``run(seed) -> {figure: value}``, which trains all sides from one seed; and ``met(rows) -> bool``, the criterion, over the figures
of all seeds.
"""
