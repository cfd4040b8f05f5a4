"""Reactions that are made up: valid molecules, and a truth that is true."""

import numpy as np
import pytest

from lessons import reactions

VALENCE = {"C": 4, "N": 3, "O": 2, "S": 2, "B": 3, "F": 1, "Cl": 1, "Br": 1}
ORDER = {"-": 1, "=": 2, "#": 3, ":": 1.5}


@pytest.fixture(scope="module")
def made():
    rng = np.random.default_rng(0)
    return [reactions.make(rng) for _ in range(300)]


@pytest.mark.parametrize("smiles", ["CC(=O)OCC", "c1ccncc1", "C1CC1C#N", "c1ccccc1-c1ccsc1", "C1CC2CC1CC2", "CS(=O)(=O)N"])
def test_a_molecule_is_the_same_from_wherever_it_is_written(smiles):
    molecule = reactions.read(smiles)
    for root in range(len(molecule.atoms)):
        written = reactions.write(molecule, root)
        again = reactions.read("".join(token for token, _ in written))
        order = [a for _, a in written if a >= 0]
        assert order[0] == root
        assert [molecule.atoms[a] for a in order] == again.atoms
        assert {tuple(sorted((order[a], order[b]))): kind for (a, b), kind in again.bonds.items()} == molecule.bonds


def test_what_is_alike():
    toluene = reactions.read("Cc1ccccc1")
    labels = reactions.alike(toluene)
    assert labels[2] == labels[6]
    assert labels[3] == labels[5]
    assert len(set(labels)) == 5
    assert len(set(reactions.alike(reactions.read("CCO.OCC")))) == 3, "two molecules of one kind"


def test_every_molecule_is_valid(made):
    """No atom has more bonds than it can have; sulfur may have six."""
    for found in made:
        for part in found.text.split(">>"):
            molecule = reactions.read(part)
            bonds = np.zeros(len(molecule.atoms))
            for (a, b), kind in molecule.bonds.items():
                bonds[[a, b]] += ORDER[kind]
            for atom, number in zip(molecule.atoms, bonds):
                assert number <= (6 if atom == "S" else VALENCE[atom.capitalize()]) + 0.5 * atom.islower(), found.text


def test_the_truth_is_true(made):
    """The product has the reactants' bonds between its atoms, and a new one."""
    assert {found.kind for found in made} == set(reactions.KINDS)
    for found in made:
        assert "".join(found.tokens) == found.text
        left, right = (reactions.read(part) for part in found.text.split(">>"))
        numbers = [a for a in found.atoms if a >= 0]
        before, after = numbers[:len(left.atoms)], numbers[len(left.atoms):]
        assert len(set(before)) == len(before)
        bonds, new = ({frozenset((order[a], order[b])): kind for (a, b), kind in side.bonds.items()}
                      for order, side in ((before, left), (after, right)))
        assert [left.atoms[before.index(a)] for a in after] == right.atoms
        made_here = new.keys() - bonds.keys()
        assert len(made_here) == 1
        assert {pair: kind for pair, kind in new.items() if pair not in made_here}.items() <= bonds.items()
