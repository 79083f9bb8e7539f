"""A few networks of the soak, and that it sees a fault in one path, makes it small and prints it as a test."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from adderhw.fixed import Rounding, round_shift
from adderhw.kernels import paths
from adderhw.plan import Plan
from tests.soak import comparison
from tests.soak.__main__ import run, run_seed
from tests.soak.comparison import DisagreementError, Soak, batch_sizes, requantised


def options(**changes):
    return SimpleNamespace(**{"networks": 3, "seed": 5, "threads": (1, 2), "kernels": paths(), **changes})


@pytest.mark.slow
def test_the_command_compares_networks_and_counts_what_it_compared():
    command = [sys.executable, "-m", "tests.soak", "--networks", "3", "--seed", "5", "--threads", "1", "2"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("3 networks, seeds 5 to 5, 0 mismatches: ")
    assert f"kernel paths {', '.join(paths())}; threads 1, 2; " in done.stdout


def test_equal_seeds_give_equal_networks():
    seen = []
    for number in (7, 7, 8):
        soak = Soak(paths(), (1,))
        soak.compare = lambda graph, x: seen.append((str(graph.nodes), x.tobytes()))
        run_seed(soak, number, 20)
    assert len(seen) == 60
    assert seen[:20] == seen[20:40] != seen[40:]


class Faulty(Plan):
    """A Plan that adds 1 to the last element of the output where it runs `when`."""

    def run(self, inputs):
        found = super().run(inputs)
        if self.when(self):
            name = self.graph.outputs[0]
            found[name] = np.array(found[name])
            found[name].reshape(-1)[-1] ^= 1
        return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("when", "words"),
    [
        (lambda plan: not plan.fused, "onnxruntime says"),
        (lambda plan: plan.fused and plan.threads == 2, f"fused, on {paths()[0]}, 2 threads"),
        (lambda plan: plan.options.path == "portable" and plan.options.path != paths()[0], "on portable, not"),
    ],
)
def test_a_fault_in_one_way_is_caught_made_smaller_and_printed_as_a_test(when, words, monkeypatch, capsys):
    if words == "on portable, not" and len(paths()) == 1:
        pytest.skip("this CPU has one kernel path")
    monkeypatch.setattr(Faulty, "when", staticmethod(when), raising=False)
    monkeypatch.setattr(comparison, "Plan", Faulty)
    assert not run(options())
    said = capsys.readouterr().out
    assert said.startswith("seed 5: tensor ")
    assert words in said.splitlines()[0]
    source = said[said.index("import numpy") :]
    assert source.count(" Node(") <= 2
    pasted = {}
    exec(compile(source, "pasted", "exec"), pasted)
    with pytest.raises(DisagreementError, match=words):
        pasted["test_the_network_of_seed_5"]()
    monkeypatch.undo()
    pasted["test_the_network_of_seed_5"]()


@pytest.mark.parametrize("rounding", list(Rounding))
def test_the_rounding_modes_of_apytypes_are_those_of_the_contract(rounding):
    t = np.arange(-64, 65)
    attributes = {"rounding": int(rounding), "qmin": -100, "qmax": 100}
    for shift in range(6):
        found = requantised(t, np.int64(1), np.int64(0), np.int64(shift), attributes)
        assert found.tolist() == round_shift(t, shift, rounding).tolist()


@pytest.mark.parametrize("rounding", list(Rounding))
def test_apytypes_computes_the_largest_products_and_shifts(rounding):
    s, m, c, n = np.array([2**31 - 1, -(2**31)]), np.int64(2**29 - 1), np.array([2**60, -(2**60)]), np.array([62, 0])
    found = requantised(s, m, c, n, {"rounding": int(rounding), "qmin": -(2**62), "qmax": 2**62})
    exact = [int(a) * int(m) + int(b) for a, b in zip(s, c, strict=True)]
    assert found.tolist() == [round_shift(exact[0], 62, rounding), exact[1]]


def test_batches_are_split_image_by_image_and_in_two():
    assert [batch_sizes(images) for images in (1, 2, 3, 9)] == [[], [1], [1, 2], [1, 5]]
