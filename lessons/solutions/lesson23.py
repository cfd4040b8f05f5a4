"""Answers to lesson 23."""


def which_are_atoms(tokens):
    return [token.startswith("[") or token.isalpha() for token in tokens]


def origin_of_each(weights, products, reactants):
    both_ways = weights + weights.T
    return [max(reactants, key=lambda place: both_ways[product, place]) for product in products]


def share_right(guess, products, same):
    return sum(same[origin] == same[product] for origin, product in zip(guess, products)) / len(products)


def chance_to_be_right(product, reactants):
    return sum(1 / reactants.count(element) for element in product) / len(product)


def chosen_and_tested(right, atoms):
    half = len(atoms) // 2
    first, second = right[:half].sum(0) / atoms[:half].sum(), right[half:].sum(0) / atoms[half:].sum()
    return second.flat[first.argmax()]
