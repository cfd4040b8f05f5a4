"""The exercises of lesson 23, a model of chemistry, and how they are judged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lessons import reactions
from lessons.check import Wrong, close, exercise, expect


def _some(seed: int, count: int) -> list[reactions.Reaction]:
    rng = np.random.default_rng(seed)
    return [reactions.make(rng) for _ in range(count)]


@exercise("(tokens)", look="Toy numbers: one molecule, many strings", level="easy")
def which_are_atoms(answer: Callable[..., Any]) -> None:
    """Of each token of a reaction, whether it is an atom: a list of True and False. An atom is letters, or stands in square
    brackets; a token is never half an atom. Example: ["Cl", "C", "(", "=", "O", ")", "[N+]"] gives
    [True, True, False, False, True, False, True]."""
    texts = [found.tokens for found in _some(231, 20)] + [["[Na+]", ".", "[OH-]", ">>", "c", "1", "#", "Br"]]
    for tokens in texts:
        expected = [token[0] == "[" or token.isalpha() for token in tokens]
        got = list(answer(list(tokens)))
        expect(len(got) == len(tokens), f"{''.join(tokens)}: expected {len(tokens)} answers, one for each token, got {len(got)}")
        wrong = [token for token, a, b in zip(tokens, got, expected) if bool(a) != b]
        expect(not wrong, f"{''.join(tokens)}: wrong about {', '.join(dict.fromkeys(wrong))}")


@exercise("(weights, products, reactants)", look="The equation", level="medium")
def origin_of_each(answer: Callable[..., Any]) -> None:
    """Where does each atom of the product come from? weights (T, T) is a map, products and reactants are lists of places. Of the
    weight that flows both ways together, the most decides; elements do not count here. The answer: a place for each product."""
    rng = np.random.default_rng(232)
    for _ in range(20):
        weights = rng.dirichlet(np.full(12, 0.3), 12)
        places = rng.permutation(12)
        products, reactants = places[:4], places[4:10]
        there, back = weights[np.ix_(products, reactants)], weights[np.ix_(reactants, products)].T
        got = np.asarray(answer(weights.copy(), products.tolist(), reactants.tolist()))
        expect(got.shape == (4,), f"expected a place for each of 4 products, got the shape {got.shape}")
        for flow, reason in ((there, "one way only, from the product to the reactants"), (back, "one way only, from the others")):
            if np.array_equal(got, reactants[flow.argmax(1)]) and not np.array_equal(got, reactants[(there + back).argmax(1)]):
                raise Wrong(f"this is {reason}; add both")
        expect(not np.array_equal(got, (there + back).argmax(1)), "this counts within the list of reactants; give their places")
        expect(np.array_equal(got, reactants[(there + back).argmax(1)]),
               f"expected {reactants[(there + back).argmax(1)].tolist()}, got {got.tolist()}")


@exercise("(guess, products, same)", look="Toy numbers: one molecule, many strings", level="easy")
def share_right(answer: Callable[..., Any]) -> None:
    """The share of product atoms whose origin is right. guess and products: a list of places each; same: of every place of the
    text a number, equal for atoms that are alike."""
    rng = np.random.default_rng(233)
    for found in _some(233, 20):
        atoms = np.flatnonzero(np.array(found.atoms) >= 0)
        products, reactants = atoms[atoms > found.arrow], atoms[atoms < found.arrow]
        guess = rng.choice(reactants, len(products))
        guess[::2] = [found.atoms.index(found.atoms[i]) for i in products[::2]]
        same = np.array(found.same)
        got = answer(guess.tolist(), products.tolist(), list(found.same))
        close(got, np.mean(same[guess] == same[products]), found.text, 1e-12)


@exercise("(product, reactants)", look="Three controls", level="medium")
def chance_to_be_right(answer: Callable[..., Any]) -> None:
    """What share of a product's atoms does somebody get right, on average, who takes for each any atom of its element? product
    and reactants: lists of elements, such as ["C", "C", "O"]; each product atom has exactly one right origin."""
    for found in _some(234, 20):
        elements = [token.strip("[]+-").capitalize() for token in found.tokens]
        product, reactants = ([elements[i] for i, a in enumerate(found.atoms) if a >= 0 and (i > found.arrow) == late]
                              for late in (True, False))
        expected = np.mean([1 / reactants.count(one) for one in product])
        got = answer(list(product), list(reactants))
        if got is not None and np.isclose(got, 1 / len(reactants)) and not np.isclose(got, expected):
            raise Wrong("that is any atom at all; elements are written on the atoms, so nobody takes an O for a C")
        close(got, expected, f"{''.join(product)} from {''.join(reactants)}", 1e-12)


@exercise("(right, atoms)", look="Every head is asked, on two sets", level="medium")
def chosen_and_tested(answer: Callable[..., Any]) -> None:
    """right (N, L, A) says how many atoms each head gets right in each of N reactions, atoms (N,) how many there are. The first
    half of the reactions chooses the head with the largest share of right atoms. Give that head's share in the second half."""
    for seed in range(5):
        rng = np.random.default_rng([235, seed])
        atoms = rng.integers(1, 30, 12)
        right = rng.binomial(atoms[:, None, None], rng.uniform(0.2, 0.4, (4, 3)))
        shares = [right[half].sum(0) / atoms[half].sum() for half in (slice(6), slice(6, 12))]
        best = np.unravel_index(shares[0].argmax(), shares[0].shape)
        got = answer(right.copy(), atoms.copy())
        if got is not None and not np.isclose(got, shares[1][best]):
            for other, reason in ((shares[0].max(), "the share on the half that chose it: too good"),
                                  (shares[1].max(), "the best head of the second half: it may choose nothing"),
                                  ((right[6:] / atoms[6:, None, None]).mean(0)[best], "a mean over reactions")):
                if np.isclose(got, other):
                    raise Wrong(f"this is {reason}")
        close(got, shares[1][best], "the share", 1e-12)
