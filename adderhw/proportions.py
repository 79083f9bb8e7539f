"""Standard errors of shares of images that networks put right."""

from math import sqrt


def standard_error(correct, count):
    """The standard error of the share correct/count, of independent images: √(p(1 − p)/n)."""
    share = correct / count
    return sqrt(share * (1 - share) / count)


def paired_difference(gained, lost, count):
    """(difference of two networks' shares of right images, its standard error), for the same `count` images.

    gained, lost: images that only the second network, only the first puts right. Each image's difference is 1, −1 or 0;
    the error is that of their mean (Q. McNemar, Psychometrika 12, 1947, of correlated proportions).
    """
    difference = (gained - lost) / count
    return difference, sqrt(((gained + lost) / count - difference**2) / count)
