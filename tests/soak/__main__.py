"""Random networks computed in every way there is, for as long as one likes: all must give the same integers.

    python -m tests.soak --networks 5000 --seed 0
    python -m tests.soak --networks 1300 --seed 37

Every tensor is compared with stock onnxruntime, small networks with the oracle on Python integers, every
requantisation with APyTypes, and every kernel path of this machine, several numbers of threads and splits of the batch
with each other. Each seed makes 100 networks, so that a run that stopped goes on from a seed. A network that differs is
made smaller as long as it still differs, and printed as a test. On a new machine, the first networks take minutes: each
compiles kernels.
"""

import argparse
import sys
import time
from functools import partial

from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis import strategies as st

from adderhw.command_line import progress_bar
from adderhw.kernels import paths
from tests.networks import LARGE, SMALL, networks
from tests.soak.comparison import DisagreementError, Soak
from tests.soak.pasted import as_test

NETWORKS_A_SEED = 100


def run_seed(soak, number, count, progress=None):
    """Compares `count` networks; raises DisagreementError of the smallest one found, with `case` (Graph, input)."""
    last = [None]

    @seed(number)
    @settings(
        max_examples=count, database=None, deadline=None, phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck), report_multiple_bugs=False, verbosity=Verbosity.quiet,
    )  # fmt: skip
    @given(st.one_of(networks(SMALL), networks(LARGE)))
    def compared(case):
        last[0] = case
        soak.compare(*case)
        if progress:
            progress(soak.networks)

    try:
        compared()
    except DisagreementError as error:
        error.case = last[0]
        raise


def run(options):
    """Runs all seeds, prints the counts or the network that differs; returns whether all agreed."""
    soak, started = Soak(options.kernels, options.threads), time.monotonic()
    last = options.seed + -(-options.networks // NETWORKS_A_SEED) - 1
    with progress_bar("networks") as bar:
        progress = bar and partial(bar, total=options.networks)
        for number in range(options.seed, last + 1):
            left = options.networks - soak.networks
            try:
                run_seed(soak, number, min(NETWORKS_A_SEED, left), progress)
                if not bar:
                    print(
                        f"seed {number}: {soak.networks:,} of {options.networks:,} networks",
                        file=sys.stderr,
                        flush=True,
                    )
            except DisagreementError as error:
                print(f"seed {number}: {error}\n\nmade smaller, as a test:\n\n{as_test(*error.case, number)}")
                return False
            except KeyboardInterrupt:
                print(f"interrupted; it goes on with --networks {left} --seed {number}", file=sys.stderr)
                raise SystemExit(1) from None
    print(
        f"{soak.networks:,} networks, seeds {options.seed} to {last}, 0 mismatches: {soak.values:,} integers compared "
        f"with onnxruntime, {soak.oracle:,} with the oracle, {soak.requantised:,} with APyTypes; kernel paths "
        f"{', '.join(soak.paths)}; threads {', '.join(map(str, soak.threads))}; {time.monotonic() - started:.0f} s"
    )
    return True


def main():
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--networks", type=int, default=5000, help="How many random networks.")
    parser.add_argument("--seed", type=int, default=0, help=f"The first seed; each makes {NETWORKS_A_SEED} networks.")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2, 3], help="Numbers of threads.")
    parser.add_argument(
        "--kernels",
        nargs="+",
        default=paths(),
        choices=paths(),
        metavar="PATH",
        help="Kernel paths; default: all here.",
    )
    options = parser.parse_args()
    if options.networks < 1 or min(options.threads) < 1:
        parser.error("--networks and --threads: found a number below 1, expected 1 or more")
    if not run(options):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
