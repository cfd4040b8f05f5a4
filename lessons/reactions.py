"""Reactions made up by a few rules, written as SMILES, with the truth about which atom became which. For lesson 23.

A molecule here is what its string says: atoms, and bonds between them. Two molecules that react lose what leaves and are joined
by a new bond, so every atom of the product comes from an atom that is known. Then each is written down anew from an atom drawn
by chance, because equal strings would be no puzzle.

Sources: Weininger 1988, "SMILES, a chemical language and information system", section 3; the tokens are those of Schwaller et
al. 2021, "Extraction of organic chemistry grammar from unsupervised learning of chemical reactions".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

#: What is a token: the rule that the trained model of lesson 23 was made with.
CUT = r"(\[[^\]]+]|Br?|Cl?|N|O|S|P|F|I|b|c|n|o|s|p|\(|\)|\.|=|#|-|\+|\\|\/|:|~|@|\?|>>?|\*|\$|\%[0-9]{2}|[0-9])"
ENDS = ("F", "Cl", "C#N", "N(C)C")  # nothing follows these
KINDS = {  # what stays, what leaves: of the one, and of the other
    "ester": (("C(=O)", "O"), ("O", "")), "amide": (("C(=O)", "O"), ("N", "")), "acyl chloride": (("C(=O)", "Cl"), ("N", "")),
    "ether": (("C", "Br"), ("O", "")), "amine": (("C", "Br"), ("N", "")), "thioether": (("C", "Br"), ("S", "")),
    "sulfonamide": (("S(=O)(=O)", "Cl"), ("N", "")), "Suzuki": (("", "Br"), ("", "OB(O)"))}


class Molecule(NamedTuple):
    atoms: list[str]  # as they are written: C, c, Cl, [N+] …
    bonds: dict[tuple[int, int], str]  # (a, b) with a < b -> "-", "=", "#", or ":" between two atoms of an aromatic ring


class Reaction(NamedTuple):
    """One reaction of T tokens."""

    kind: str
    text: str  # reactants>>product
    tokens: list[str]  # T
    atoms: list[int]  # T: the number of the atom that a token stands for, the same on both sides; -1 for other tokens
    same: list[int]  # T: equal for atoms that nothing but their place in the text tells apart; -1 for other tokens

    @property
    def arrow(self) -> int:
        return self.tokens.index(">>")


def read(smiles: str) -> Molecule:
    """The molecule of a string, or several with ``.`` between. It reads what is written here: no ``%10``, isotopes or stereo."""
    atoms: list[str] = []
    bonds: dict[tuple[int, int], str] = {}
    last, bond, branches, open_rings = -1, "", [], {}

    def join(a: int, b: int) -> None:
        aromatic = atoms[a].islower() and atoms[b].islower()
        bonds[min(a, b), max(a, b)] = bond or (":" if aromatic else "-")

    for token in re.findall(CUT, smiles):
        if token == "(":
            branches.append(last)
        elif token == ")":
            last = branches.pop()
        elif token == ".":
            last = -1
        elif token in "-=#":
            bond = token
        elif token.isdigit():
            if token in open_rings:
                join(open_rings.pop(token), last)
                bond = ""
            else:
                open_rings[token] = last
        else:
            atoms.append(token)
            if last >= 0:
                join(last, len(atoms) - 1)
            last, bond = len(atoms) - 1, ""
    return Molecule(atoms, bonds)


def write(molecule: Molecule, root: int) -> list[tuple[str, int]]:
    """(token, its atom or -1) of the molecule, written from an atom on; of several branches the shortest first."""
    near: dict[int, list[int]] = {a: [] for a in range(len(molecule.atoms))}
    for a, b in molecule.bonds:
        near[a].append(b)
        near[b].append(a)
    tree: dict[int, list[int]] = {a: [] for a in near}
    rings: dict[int, list[tuple[int, int]]] = {a: [] for a in near}  # bonds that close a ring, at both of their atoms
    seen: set[int] = set()

    def explore(a: int, source: int) -> int:
        seen.add(a)
        sizes = {}
        for b in near[a]:
            if b not in seen:
                sizes[b] = explore(b, a)
                tree[a].append(b)
            elif b != source and (b, a) not in rings[a]:
                rings[b].append((a, b))
                rings[a].append((a, b))
        tree[a].sort(key=lambda b: sizes[b])
        return 1 + sum(sizes.values())

    digits: dict[tuple[int, int], int] = {}
    out: list[tuple[str, int]] = []

    def bond(a: int, b: int) -> None:
        kind = molecule.bonds[min(a, b), max(a, b)]
        if kind in "=#" or (kind == "-" and molecule.atoms[a].islower() and molecule.atoms[b].islower()):
            out.append((kind, -1))

    def emit(a: int) -> None:
        out.append((molecule.atoms[a], a))
        for ring in rings[a]:
            if ring in digits:
                bond(*ring)
                out.append((str(digits.pop(ring)), -1))
            else:
                digits[ring] = min(set(range(1, 10)) - set(digits.values()))
                out.append((str(digits[ring]), -1))
        for place, b in enumerate(tree[a]):
            branch = place < len(tree[a]) - 1
            out.extend([("(", -1)] * branch)
            bond(a, b)
            emit(b)
            out.extend([(")", -1)] * branch)

    explore(root, -1)
    emit(root)
    return out


def alike(molecule: Molecule) -> list[int]:
    """Of each atom a number; atoms with equal surroundings share it, such as the two beside the N of pyridine."""
    labels = [sorted(set(molecule.atoms)).index(atom) for atom in molecule.atoms]
    kinds = len(set(labels))
    while True:
        around: list[list[tuple[str, int]]] = [[] for _ in labels]
        for (a, b), kind in molecule.bonds.items():
            around[a].append((kind, labels[b]))
            around[b].append((kind, labels[a]))
        views = [(label, tuple(sorted(seen))) for label, seen in zip(labels, around)]
        number = {view: n for n, view in enumerate(sorted(set(views)))}
        labels = [number[view] for view in views]
        if len(number) == kinds:
            return labels
        kinds = len(number)


def rest(rng: np.random.Generator, size: int, aromatic: bool = False) -> str:
    """A chain or a ring with branches, of about ``size`` atoms; it is joined to something by its first atom."""
    if aromatic or (size >= 6 and rng.random() < 0.5):
        ring = [str(rng.choice(["c", "n"], p=[0.85, 0.15])) for _ in range(5)]
        size -= 6
        for place in rng.permutation(4)[:2]:
            if ring[place] == "c" and size > 0 and rng.random() < 0.7:
                branch = int(rng.integers(1, size + 1))
                ring[place] += f"({rest(rng, branch)})"
                size -= branch
        return "c1" + "".join(ring) + "1"
    out = "C"
    while (size := size - 1) > 0:
        if size > 2 and rng.random() < 0.3:
            branch = int(rng.integers(1, size))
            out += f"({rest(rng, branch)})"
            size -= branch
        if size < 6 and out[-1] == "C":
            out += str(rng.choice(["C", "OC", "SC", "C=C", *ENDS]))
            if out.endswith(ENDS):
                return out
        else:
            return out + rest(rng, size)
    return out


def make(rng: np.random.Generator, kinds: Sequence[str] = tuple(KINDS), anywhere: bool = True,
         sizes: tuple[int, int] = (1, 11)) -> Reaction:
    """A reaction of one of these kinds, with two rests drawn by chance.

    ``anywhere``: each molecule is written from any of its atoms; else from what leaves, the product from an end of the new bond.
    ``sizes``: a rest has at least so many atoms, and fewer than so many (a ring has six).
    """
    kind = str(rng.choice(kinds))
    rests = [rest(rng, int(rng.integers(*sizes)), kind == "Suzuki") for _ in range(2)]
    (stays, leaves), (other_stays, other_leaves) = KINDS[kind]
    one, other = read(leaves + stays + rests[0]), read(other_leaves + other_stays + rests[1])
    n = len(one.atoms)
    atoms, bonds = one.atoms + other.atoms, one.bonds | {(a + n, b + n): bond for (a, b), bond in other.bonds.items()}
    joined = len(read(leaves).atoms), n + len(read(other_leaves).atoms)  # the two that find each other stand behind what leaves
    gone = {*range(joined[0]), *range(n, joined[1])}
    left = {pair: bond for pair, bond in bonds.items() if not gone & {*pair}} | {joined: "-"}
    before, after = Molecule(atoms, bonds), Molecule(atoms, left)
    roots = [int(rng.integers(n)), n + int(rng.integers(len(other.atoms)))] if anywhere else [0, n]
    rng.shuffle(roots)
    kept = [a for a in range(len(atoms)) if a not in gone]
    begin = int(rng.choice(kept if anywhere else joined))
    written = [*write(before, roots[0]), (".", -1), *write(before, roots[1]), (">>", -1), *write(after, begin)]
    tokens, numbers = [token for token, _ in written], [a for _, a in written]
    classes = alike(before)
    return Reaction(kind, "".join(tokens), tokens, numbers, [classes[a] if a >= 0 else -1 for a in numbers])
