"""The search over mixed widths: what it finds, that a killed one goes on as if it had not been, and its energies."""

import json
from itertools import product

import pytest

from adderhw.errors import AdderHwError
from quant.mixed import Search, Target, best, front
from quant.mixed_bench import Point
from quant.mixed_store import Store

SENSITIVITY = (9.0, 1.0, 4.0, 0.5)
PRICE = (1.0, 3.0, 1.0, 2.0)
IMAGES = 1000


class Killed(BaseException):
    """Stands for the end of the process."""


class Model:
    """Stands for a Bench: the loss of a tensor falls to a quarter with each bit, its energy grows by its price."""

    tensors = ("a", "b", "c", "edge")
    selected = IMAGES

    def __init__(self, kill_after=None):
        self.measured, self.kill_after = [], kill_after

    def ranges(self, widths, progress=None):
        return {(name, bits): (0.0, float(bits)) for name, bits in product(self.tensors, widths)}

    def uniform(self, bits):
        return (bits, bits, bits, 6)

    def measure(self, widths, ranges, base=None):
        if len(self.measured) == self.kill_after:
            raise Killed
        self.measured.append(widths)
        loss = sum(each * 4.0**-bits for each, bits in zip(SENSITIVITY, widths, strict=True))
        energy = sum(each * bits for each, bits in zip(PRICE, widths, strict=True))
        return Point(widths, energy, loss, int(IMAGES * (0.95 - loss)), 0.0)


def search(path, model, least=2, most=6):
    return Search(model, Store(path, {"schema": 1}), least, most)


def exhaustive(target, least=2, most=6):
    """The best of all points within the target."""
    points = {widths: Model().measure(widths, {}) for widths in product(range(least, most + 1), repeat=4)}
    return best(points, target)


def test_every_uniform_width_is_on_the_front_or_beaten(tmp_path):
    found = search(tmp_path / "s.jsonl", Model())
    assert found.run() is None
    points = front(found.points.values())
    assert set(found.uniform) == {2, 3, 4, 5, 6}
    for point in found.uniform.values():
        assert any(other.energy <= point.energy and other.loss <= point.loss for other in points)
    for bits in (3, 4, 5):
        uniform = found.uniform[bits]
        assert any(other.energy <= uniform.energy and other.loss < 0.9 * uniform.loss for other in points)
    assert all(
        least <= bits <= most
        for point in points
        for bits, least, most in zip(point.widths, [2] * 4, [6] * 4, strict=True)
    )


def test_no_point_of_the_front_is_dominated(tmp_path):
    found = search(tmp_path / "s.jsonl", Model())
    found.run()
    points = front(found.points.values())
    assert [point.energy for point in points] == sorted((point.energy for point in points), reverse=True)
    for point, other in product(points, found.points.values()):
        worse = other.energy <= point.energy and other.loss <= point.loss
        assert not (worse and (other.energy, other.loss) != (point.energy, point.loss))
    twins = [Point((2,), 1.0, 1.0, None, 0.0), Point((3,), 1.0, 1.0, None, 0.0), Point((4,), 1.0, 2.0, None, 0.0)]
    assert front(twins) == twins[:1]


@pytest.mark.parametrize("energy", [20.0, 27.0, 33.5])
def test_the_least_loss_within_an_energy_is_near_the_best_of_all(energy, tmp_path):
    target = Target(energy=energy)
    chosen = search(tmp_path / "s.jsonl", Model()).run(target)
    assert chosen.energy <= energy
    assert chosen.loss <= 1.1 * exhaustive(target).loss


@pytest.mark.parametrize("correct", [600, 900, 940])
def test_the_least_energy_with_so_many_right_is_near_the_best_of_all(correct, tmp_path):
    target = Target(correct=correct)
    chosen = search(tmp_path / "s.jsonl", Model()).run(target)
    assert chosen.correct >= correct
    assert chosen.energy <= 1.1 * exhaustive(target).energy


@pytest.mark.parametrize("target", [Target(energy=1.0), Target(correct=IMAGES)])
def test_a_target_out_of_reach_gives_none(target, tmp_path):
    assert search(tmp_path / "s.jsonl", Model()).run(target) is None


@pytest.mark.parametrize("target", [None, Target(energy=27.0), Target(correct=900)])
def test_a_killed_search_goes_on_as_if_it_had_not_been(target, tmp_path):
    whole, model = tmp_path / "whole.jsonl", Model()
    expected = search(whole, model)
    chosen = expected.run(target)
    count = len(model.measured)
    assert len(set(model.measured)) == count
    for kill_after in (0, 1, 7, count // 2, count - 1):
        path, killed, other = tmp_path / f"{kill_after}.jsonl", Model(kill_after), Model()
        with pytest.raises(Killed):
            search(path, killed).run(target)
        with open(path, "ab") as file:
            file.write(b'{"widths": [3, 2')
        resumed = search(path, other)
        assert resumed.run(target) == chosen
        assert killed.measured + other.measured == model.measured
        assert resumed.points == expected.points
        assert path.read_bytes() == whole.read_bytes()


def test_another_target_uses_what_is_stored(tmp_path):
    path = tmp_path / "s.jsonl"
    search(path, Model()).run()
    model = Model()
    found = search(path, model)
    first = found.run(Target(energy=25.0))
    assert len(model.measured) < 10
    assert first == best(found.known, Target(energy=25.0))


def test_ranges_are_searched_once(tmp_path):
    path, seen = tmp_path / "s.jsonl", []
    model = Model()
    expected = search(path, model).ranges
    model.ranges = lambda *arguments: seen.append(arguments)
    assert search(path, model).ranges == expected
    assert not seen


def test_progress_never_passes_its_end(tmp_path):
    seen = []
    found = search(tmp_path / "s.jsonl", Model())
    found.progress = lambda done, total: seen.append((done, total))
    found.run()
    assert seen
    assert all(done <= total for done, total in seen)


def test_search_works_without_labels(tmp_path):
    model = Model()
    measure = model.measure
    model.measure = lambda widths, ranges, base: measure(widths, ranges)._replace(correct=None)
    chosen = search(tmp_path / "s.jsonl", model).run(Target(energy=27.0))
    assert chosen.correct is None
    assert chosen.energy <= 27.0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"energy": [1]}, "expected a point of this search"),
        ({"energy": 0}, "expected a point of this search"),
        ({"widths": [2, 2]}, "expected a point of this search"),
        ({"widths": [2, 2, 2, 99]}, "expected a point of this search"),
        ({"correct": IMAGES + 1}, "expected a point of this search"),
        ({"correct": None}, "expected images right in every point or in none"),
        ({"more": 1}, "expected a point of this search"),
    ],
)
def test_a_record_that_is_no_point_is_one_line(change, words, tmp_path):
    path = tmp_path / "s.jsonl"
    search(path, Model()).run(Target(energy=25.0))
    header, ranges, *points = map(json.loads, path.read_text().splitlines())
    points[-1] |= change
    path.write_text("".join(f"{json.dumps(each)}\n" for each in (header, ranges, *points)))
    with pytest.raises(AdderHwError, match=rf"s\.jsonl: found record .*, {words}"):
        search(path, Model())


@pytest.mark.parametrize("rows", [7, [["a", 2, 0.0]], [["a", 2, 1.0, 0.5]], [["a", "2", 0.0, 1.0]], [[2, 2, 0.0, 1.0]]])
def test_ranges_that_are_none_are_one_line(rows, tmp_path):
    path = tmp_path / "s.jsonl"
    Store(path, {"schema": 1}).append({"ranges": rows})
    with pytest.raises(AdderHwError, match="expected a list of tensor, bits, low and high"):
        search(path, Model())
