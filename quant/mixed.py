"""Searches the bits of each tensor for little divergence at little energy; every point measured goes to a store."""

from dataclasses import dataclass, field
from itertools import product

from adderhw.fixed import MAX_BITS, MIN_BITS
from adderhw.json_files import fits
from quant.mixed_bench import Bench, Point
from quant.mixed_store import Store

POINT = {"widths": [int], "energy": float, "loss": float, "correct": (int, None), "seconds": float}
MOST_TRIED = 4  # moves measured before one of them is made, on the way down
TRIED_NEAR, MOST_ROUNDS = 6, 4  # moves of an exchange that are measured in each round


@dataclass(frozen=True)
class Target:
    """What a search is for: the least loss at no more than `energy` pJ, or the least energy with no fewer than
    `correct` selection images right; the other is None.
    """

    energy: float | None = None
    correct: int | None = None

    def holds(self, point):
        """Whether the point is within the bound."""
        return point.energy <= self.energy if self.correct is None else point.correct >= self.correct

    def objective(self, point):
        """What is to be least, with the other figure to decide a tie."""
        return (point.loss, point.energy) if self.correct is None else (point.energy, point.loss)


@dataclass
class Search:
    """The search over bits `least` to `most`; what the store holds already is not measured again.

    points: those that this search has come by; every step follows from them, so that a search that was killed and goes
    on is the same search. known: those of the store too, which searches for other targets may have left there.
    """

    bench: Bench
    store: Store
    least: int
    most: int
    progress: object = None
    points: dict[tuple[int, ...], Point] = field(default_factory=dict)
    known: dict[tuple[int, ...], Point] = field(default_factory=dict)
    uniform: dict[int, Point] = field(default_factory=dict)

    def __post_init__(self):
        self.ranges = self.searched_ranges()
        for record in self.store.records:
            if "widths" in record:
                self.store.expect(self.is_point(record), record, "a point of this search")
                point = Point(**{**record, "widths": tuple(record["widths"])})
                alike = all((point.correct is None) == (other.correct is None) for other in self.known.values())
                self.store.expect(alike, record, "images right in every point or in none")
                self.known[point.widths] = point

    def searched_ranges(self):
        """(tensor, bits) → (low, high): from the store, or searched now and stored."""
        for record in self.store.records:
            if "ranges" in record:
                self.store.expect(is_ranges(record), record, "a list of tensor, bits, low and high")
                return {(name, bits): (low, high) for name, bits, low, high in record["ranges"]}
        found = self.bench.ranges(range(self.least, self.most + 1), self.progress)
        self.store.append({"ranges": [[*key, *ends] for key, ends in found.items()]})
        return found

    def is_point(self, record):
        """Whether a record of the store is a point that this search may have measured."""
        if not fits(record, POINT) or len(record["widths"]) != len(self.bench.tensors):
            return False
        right = 0 <= (record["correct"] or 0) <= self.bench.selected
        bits = all(MIN_BITS <= each <= MAX_BITS for each in record["widths"])
        return right and bits and record["energy"] > 0 and record["loss"] >= 0

    def point(self, widths, base=None):
        """The Point of bits by tensor, measured unless it is known; base: widths near it that others are near too."""
        if widths not in self.known:
            point = self.bench.measure(widths, self.ranges, base)
            self.store.append(point._asdict())
            self.known[widths] = point
        self.points[widths] = self.known[widths]
        if self.progress:
            self.progress(len(self.points), self.most_points())
        return self.points[widths]

    def most_points(self):
        """About how many points the whole front takes, for the progress bar."""
        one_at_a_time = sum(top - self.least for top in self.bench.uniform(self.most))
        near = (self.most - self.least + 1) * MOST_ROUNDS * TRIED_NEAR // 2
        return max(2 * one_at_a_time + near, len(self.points))

    def run(self, target=None):
        """Runs the search for a Target, or along the whole front without one; returns the best Point of a target."""
        self.uniform = {bits: self.point(self.bench.uniform(bits)) for bits in range(self.least, self.most + 1)}
        self.sensitivities = self.one_at_a_time()
        for point in (*self.uniform.values(), target):
            if point is not None and point.energy is not None:
                self.predict(point.energy)
        self.descend(target)
        if target is None:
            for point in self.uniform.values():
                self.exchange(Target(energy=point.energy))
            return None
        self.exchange(target)
        return best(self.known, target)

    def one_at_a_time(self):
        """(number of the tensor, bits) → (loss, energy) that this tensor alone adds to all tensors at their most."""
        start, found = self.uniform[self.most], {}
        for at, top in enumerate(start.widths):
            for bits in range(self.least, top + 1):
                point = self.point(changed(start.widths, {at: bits}), start.widths)
                found[at, bits] = point.loss - start.loss, point.energy - start.energy
        return found

    def predicted(self, widths, moves):
        """(loss, energy) that the moves, number of the tensor → bits, would add by the sensitivities."""
        pairs = [(self.sensitivities[at, bits], self.sensitivities[at, widths[at]]) for at, bits in moves.items()]
        return tuple(sum(after[k] - before[k] for after, before in pairs) for k in (0, 1))

    def predict(self, energy):
        """Descends to an energy by the sensitivities alone and measures where that leads."""
        start = self.uniform[self.most]
        widths, spent = start.widths, start.energy
        while True:
            moves = [{at: bits - 1} for at, bits in enumerate(widths) if bits > self.least]
            if not moves or (spent <= energy and self.point(widths, start.widths).energy <= energy):
                return
            move = min(moves, key=lambda move: slope(*self.predicted(widths, move)))
            widths, spent = changed(widths, move), spent + self.predicted(widths, move)[1]

    def descend(self, target):
        """From the most bits everywhere, a bit off one tensor at a time, until none is left or the target is passed.

        Accelerated greedy (M. Minoux, 1978): each tensor keeps the slope it had when last measured, at first that of
        the sensitivities. The least is measured again, until the least is one just measured or MOST_TRIED are.
        """
        point = self.uniform[self.most]
        slopes = {at: self.predicted_slope(point, at) for at, bits in enumerate(point.widths) if bits > self.least}
        while slopes and (target is None or not self.passed(target, point)):
            tried = {}
            while len(tried) < MOST_TRIED:
                at = min(slopes, key=slopes.get)
                if at in tried:
                    break
                tried[at] = self.point(changed(point.widths, {at: point.widths[at] - 1}), point.widths)
                slopes[at] = slope(tried[at].loss - point.loss, tried[at].energy - point.energy)
            at = min(tried, key=slopes.get)
            point = tried[at]
            del slopes[at]
            if point.widths[at] > self.least:
                slopes[at] = self.predicted_slope(point, at)

    def predicted_slope(self, point, at):
        """The slope of one bit less of the tensor `at`, by the sensitivities."""
        return slope(*self.predicted(point.widths, {at: point.widths[at] - 1}))

    @staticmethod
    def passed(target, point):
        """Whether descending further is of no use: the energy is low enough, or too little is right."""
        return target.holds(point) == (target.correct is None)

    def exchange(self, target):
        """Local search from the best point within the target: one tensor a bit up, another one down, or either alone.

        Of the moves that the sensitivities say stay within the target, the TRIED_NEAR best are measured; the best
        point found is where the next round starts, until a round finds nothing better.
        """
        start = best(self.points, target)
        for _ in range(MOST_ROUNDS if start else 0):
            for move in sorted(self.near(start, target)[:TRIED_NEAR], key=min):
                self.point(changed(start.widths, move), start.widths)
            found = best(self.points, target)
            if found is start:
                break
            start = found

    def near(self, point, target):
        """The moves from the point that are not measured yet and predicted to stay within the target, best first."""
        tops = self.uniform[self.most].widths
        ups = [{}] + [{at: bits + 1} for at, bits in enumerate(point.widths) if bits < tops[at]]
        downs = [{}] + [{at: bits - 1} for at, bits in enumerate(point.widths) if bits > self.least]
        moves = []
        for up, down in product(ups, downs):
            if up.keys() == down.keys() or changed(point.widths, {**up, **down}) in self.points:
                continue
            loss, spent = self.predicted(point.widths, {**up, **down})
            if target.correct is not None and spent < 0:
                moves.append((slope(loss, spent), {**up, **down}))
            elif target.correct is None and point.energy + spent <= target.energy:
                moves.append((loss, {**up, **down}))
        return [move for _, move in sorted(moves, key=lambda entry: entry[0])]


def best(points, target):
    """The one of the points, Points by widths, that does best within the target; None without one."""
    return min(filter(target.holds, points.values()), key=target.objective, default=None)


def changed(widths, moves):
    """The widths with those of `moves`, number of the tensor → bits, in their place."""
    return tuple(moves.get(at, bits) for at, bits in enumerate(widths))


def is_ranges(record):
    """Whether a record of the store says ranges: tensor, bits, and low below high, of each."""
    rows = record["ranges"]
    return fits(rows, [[(str, float)]]) and all(
        len(row) == 4 and fits(row[0], str) and fits(row[1], int) and fits(row[2:], [float]) and row[2] < row[3]
        for row in rows
    )


def slope(loss, spent):
    """Loss added for each picojoule saved; a move that saves nothing comes last."""
    return loss / -spent if spent < 0 else float("inf")


def front(points):
    """The points, dearest first, of which no other has no more energy and no more loss, and less of one."""
    found = []
    for point in sorted(points, key=lambda each: (each.energy, each.loss)):
        if not found or point.loss < found[-1].loss:
            found.append(point)
    return found[::-1]
