"""Groups of filters: which filters of an adder layer share a grid (Nie et al., NeurIPS 2022)."""

from typing import NamedTuple

import numpy as np


class FilterGroup(NamedTuple):
    """Filters of one adder layer that share a grid: int64, ascending, and the (low, high) of that grid."""

    filters: np.ndarray
    range: tuple[float, float]


def filter_groups(weight, conv_groups, count):
    """Up to `count` int64 arrays, the filters of an adder layer grouped by max|w|, the smallest weights first.

    weight: (O, …). conv_groups: the layer's own `group`; where that is above 1, its filters read different channels,
    and those that read the same ones stay together.
    """
    units = len(weight) if conv_groups == 1 else conv_groups
    labels = np.repeat(clusters(np.abs(weight).reshape(units, -1).max(axis=1), count), len(weight) // units)
    return [np.flatnonzero(labels == label) for label in range(labels.max() + 1)]


def clusters(values, count):
    """int64 (n,): the cluster of each value, 0 for the smallest ones, with the least sum of squared distances.

    values: float64 (n,). In one dimension k-means is solved exactly by dynamic programming over the sorted values
    (Wang and Song, The R Journal 3/2, 2011): no starting points, no chance. Equal values stay together, so there are
    no more clusters than different values.
    """
    count = min(count, len(np.unique(values)))
    order = np.argsort(values, kind="stable")
    cost = spreads(values[order])
    size = len(values)
    best, starts = cost[0], [np.zeros(size, np.int64)]
    for _ in range(1, count):
        # totals[i, j]: values before i in the clusters so far, i to j in one more.
        totals = np.concatenate([[np.inf], best[:-1]])[:, None] + cost
        starts.append(totals.argmin(axis=0))
        best = totals.min(axis=0)
    labels, last = np.empty(size, np.int64), size - 1
    for label in range(count - 1, -1, -1):
        first = starts[label][last]
        labels[order[first : last + 1]] = label
        last = first - 1
    return labels


def spreads(values):
    """float64 (n, n): Σ (v − mean)² of the ascending values i to j; infinite where i > j."""
    values = values.astype(np.float64) - values.mean()
    sums, squares = (np.concatenate([[0.0], np.cumsum(v)]) for v in (values, values**2))
    first, last = np.arange(len(values))[:, None], np.arange(len(values))[None]
    count = np.maximum(last - first + 1, 1)
    spread = squares[last + 1] - squares[first] - (sums[last + 1] - sums[first]) ** 2 / count
    return np.where(first <= last, spread, np.inf)
