"""What of an example is hidden or changed: one module for each way.

A module has ``rule(tokenizer, **options)``, made once, and ``mask_example(example, rule, key) -> Masked``.
"""
