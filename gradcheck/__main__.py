"""``python -m gradcheck``: check every backward in minibert against its forward."""

from __future__ import annotations

import argparse
import sys
import time
import traceback

from gradcheck.checker import TOLERANCE, GradientError, Result

EXAMPLES = """examples:
  python -m gradcheck                                    check everything
  python -m gradcheck layernorm attention -v             two layers, every array on a line of its own
  python -m gradcheck attention --plot ucurve.png        the error against the step size

Central differences must agree with backward to 1e-7 (relative, for each array), the complex step to 1e-12.
The exit status is 0 if everything passes, 1 if a gradient is wrong, 2 if the command is.
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m gradcheck",
        description="Measure the gradient of every layer numerically and compare it with the backward written by hand.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="entries of the suite to check (default: all of them)")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="other random arrays (default: 0)")
    parser.add_argument("-v", "--verbose", action="store_true", help="print the error of every array")
    parser.add_argument("--plot", metavar="FILE", help="draw error against step size, the U-curve (.png or .svg)")
    options = parser.parse_args(arguments)
    if options.seed < 0:
        parser.error(f"argument --seed: expected a number from 0 up, got {options.seed}")

    from gradcheck import suite

    try:
        cases = suite.select(options.names)
    except KeyError as error:
        parser.error(error.args[0])
    if options.list:
        print("\n".join(c.name for c in cases))
        return 0

    for stream in (sys.stdout, sys.stderr):  # a console that lacks a sign prints ? and goes on
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    start, failures, failed = time.perf_counter(), [], 0
    print(_row("layer", "inputs -> outputs", "checked", "central", "complex", ""))
    for c in cases:
        try:
            result = c.check(options.seed)
        except GradientError as error:
            result = error.result
            failures += result.failures
        except Exception:  # the others are still worth checking
            result = Result(c.name, failures=[f"{c.name} cannot run:\n\n{traceback.format_exc()}"])
            failures += result.failures
        failed += not result.ok
        print(_line(result), flush=True)
        if options.verbose and result.shapes:
            print(_details(result))
    print(
        f"\n{len(cases) - failed} of {len(cases)} passed in {time.perf_counter() - start:.1f} s. Numbers: the largest "
        f"‖backward - measured‖ / ‖measured‖;\nallowed are {TOLERANCE['central']:.0e} by central differences and "
        f"{TOLERANCE['complex']:.0e} by complex step. Every element is measured,\nor with ·N as many random directions of "
        "each array."
    )
    for message in failures:
        print(f"\n{message}", file=sys.stderr)

    if options.plot:
        if failures:
            print("\nno plot: the error of a step can only be seen beside a right gradient", file=sys.stderr)
        else:
            from gradcheck.plot import plot

            try:
                one_each = {c.module: c for c in reversed(cases)}  # the first entry of each module
                plot({c.name: c.ucurve(options.seed) for c in cases if c in one_each.values()}, options.plot)
            except (OSError, ValueError) as error:
                parser.error(f"argument --plot: cannot write {options.plot}: {error}")
            print(f"wrote {options.plot}")
    return 1 if failures else 0


def _line(result: Result) -> str:
    inputs = [_shape(result.shapes[k]) for k in result.inputs] or ["ids"]
    outputs = [_shape(y) for y in result.outputs.values()]
    checked = [f"d{k}" for k in result.inputs] if len(result.inputs) < 3 else [f"{len(result.inputs)} inputs"]
    if params := len(result.shapes) - len(result.inputs):
        checked.append(f"{params} param" + "s" * (params > 1))
    along = f" ·{result.directions}" if result.directions else ""
    numbers = [f"{e:.1e}" if (e := result.worst(m)) is not None else "-" for m in ("central", "complex")]
    verdict = "ok" if result.ok else "FAILED"
    return _row(result.name, f"{_some(inputs)} -> {_some(outputs)}", ", ".join(checked) + along, *numbers, verdict)


def _details(result: Result) -> str:
    lines = []
    for k, shape in result.shapes.items():
        numbers = [f"{e[k]:.1e}" if (e := result.errors.get(m)) else "-" for m in ("central", "complex")]
        lines.append(f"    {f'{k} {_shape(shape)}':<90} {numbers[0]:>8} {numbers[1]:>8}")
    return "\n".join(lines)


def _row(name: str, shapes: str, checked: str, central: str, complex_step: str, verdict: str) -> str:
    return f"{name:<28} {shapes:<32} {checked:<32} {central:>8} {complex_step:>8}  {verdict}".rstrip()


def _some(shapes: list[str]) -> str:
    return " ".join(shapes if len(shapes) < 3 else [shapes[0], f"+{len(shapes) - 1}"])


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "scalar"


if __name__ == "__main__":
    sys.exit(main())
