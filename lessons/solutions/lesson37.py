"""Answers to lesson 37."""


def batches_of_each(sizes, batch):
    return [(size + batch - 1) // batch for size in sizes]


def chances_of_tasks(sizes, alpha):
    powers = sizes**alpha
    return powers / powers.sum()


def tasks_of_stages(tasks, stages):
    if stages == "sequential":
        return [[name] for name in tasks]
    return [tasks[:count] for count in range(1, len(tasks) + 1)]


def change_of_the_first(first, second, before, wanted):
    return (wanted - before) * (first @ second) / (second @ second)
