"""Threads that each carry pieces of a batch through a whole network; the kernels release the GIL."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np


class Workers:
    """Calls like a network, on `threads` copies of one, each taking every `threads`-th piece of the batch."""

    def __init__(self, make_network, threads, piece):
        self.networks, self.piece = [make_network() for _ in range(threads)], piece
        self.pool = ThreadPoolExecutor(threads)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.pool.shutdown()

    def __call__(self, x):
        pieces = [x[first : first + self.piece] for first in range(0, len(x), self.piece)]
        count = len(self.networks)
        if count == 1:
            return np.concatenate([self.networks[0](piece) for piece in pieces])
        shares = [pieces[worker::count] for worker in range(count)]
        done = list(self.pool.map(lambda network, share: [network(piece) for piece in share], self.networks, shares))
        return np.concatenate([done[k % count][k // count] for k in range(len(pieces))])

    def start_counting(self):
        """Forgets the seconds so far, of compilation and set-up."""
        for network in self.networks:
            network.spent.clear()

    def spent(self):
        """Seconds by kind of layer, all workers together."""
        return sum((network.spent for network in self.networks), Counter())
