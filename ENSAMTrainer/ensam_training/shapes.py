"""Anatomy-like shapes as depth fields: about the distance to the surface in voxels, positive inside.

A shape is a function of a `Space` and a generator; `SHAPES` names them all. Depths rather than masks, so that
partial volume, shells, rims and what touches a surface come for free.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cc3d
import numpy as np
from numpy.typing import NDArray

from ensam_training.textures import Field, smooth_field

OUTSIDE = np.float32(-8)  # a depth beyond every blur


class Space:
    """The bent coordinates that the shapes of a scene are drawn in, and its generator.

    points: (3, Z, Y, X); edge: the shortest edge in voxels, which sizes are drawn relative to.
    """

    def __init__(self, shape: tuple[int, int, int], rng: np.random.Generator) -> None:
        self.shape, self.edge = shape, min(shape)
        bend = np.float32(rng.uniform(0, 0.06) * self.edge)
        self.points = np.empty((3, *shape), np.float32)
        for axis, straight in enumerate(np.ogrid[tuple(slice(0, n) for n in shape)]):
            np.multiply(bend, self.lumps(1 / rng.uniform(2, 4), rng), out=self.points[axis])
            self.points[axis] += straight.astype(np.float32)

    def place(self, rng: np.random.Generator) -> NDArray:
        """A point not too near to the border, (z, y, x)."""
        return np.array(self.shape) * rng.uniform(0.2, 0.8, 3)

    def turned(self, centre: NDArray, rng: np.random.Generator) -> NDArray[np.float32]:
        """Coordinates (3, Z, Y, X) from a centre along random axes."""
        turn, _ = np.linalg.qr(rng.standard_normal((3, 3)))
        turn = turn.astype(np.float32)
        flat = turn @ self.points.reshape(3, -1) - (turn @ centre.astype(np.float32))[:, None]
        return flat.reshape(self.points.shape)

    def lumps(self, size: float, rng: np.random.Generator) -> Field:
        return smooth_field(self.shape, self.edge * size, rng)


Shape = Callable[[Space, NDArray, np.random.Generator], Field]


def ellipsoid(space: Space, centre: NDArray, rng: np.random.Generator) -> Field:
    """From a small nodule to an organ, smooth or a little lumpy."""
    radii = space.edge * np.exp(rng.uniform(np.log(0.07), np.log(0.36))) * rng.uniform(0.6, 1.3, 3)
    depth = _round(space.turned(centre, rng), np.maximum(radii, 1.7))
    return depth + np.float32(0.15 * rng.random() * radii.min()) * space.lumps(0.15, rng)


def block(space: Space, centre: NDArray, rng: np.random.Generator) -> Field:
    """A superellipsoid: flatter sides than an ellipsoid, as a vertebral body."""
    radii = (space.edge * rng.uniform(0.1, 0.3) * rng.uniform(0.6, 1.3, 3)).astype(np.float32)
    scaled = np.abs(space.turned(centre, rng)) / radii[:, None, None, None]
    power = 4 if rng.random() < 0.5 else 3
    norm = (scaled**power).sum(0) ** np.float32(1 / power)
    return (1 - norm) * radii.mean() + np.float32(0.05 * radii.mean()) * space.lumps(0.12, rng)


def blob(space: Space, centre: NDArray, rng: np.random.Generator) -> Field:
    """An irregular, lobed mass."""
    radius = space.edge * rng.uniform(0.1, 0.3)
    depth = _round(space.turned(centre, rng), radius * rng.uniform(0.7, 1.2, 3))
    size = rng.uniform(0.1, 0.25)
    depth += np.float32(rng.uniform(0.2, 0.45) * radius) * space.lumps(size, rng)
    return _largest(depth)


def lobes(space: Space, centre: NDArray, rng: np.random.Generator) -> Field:
    """Two to four bodies grown together."""
    depth = None
    for _ in range(rng.integers(2, 5)):
        radii = space.edge * rng.uniform(0.07, 0.18) * rng.uniform(0.6, 1.5, 3)
        one = _round(space.turned(centre, rng), radii)
        # A smooth maximum, so that no edge runs round where they meet.
        depth = one if depth is None else np.logaddexp(depth, one)
        centre = centre + rng.standard_normal(3) * radii.mean() * 0.9
    return depth


def region(space: Space, centre: NDArray, rng: np.random.Generator) -> Field:
    """One part of a level set of a random field: no preferred form at all."""
    field = space.lumps(rng.uniform(0.12, 0.3), rng)
    level = rng.uniform(0.6, 1.5)
    steep = np.abs(np.diff(field, axis=2)).mean() * 1.8
    return _largest(np.clip((field - np.float32(level)) / steep, OUTSIDE, None))


def ribbon(space: Space, centre: NDArray, rng: np.random.Generator) -> Field:
    """A folded band of even thickness, as cortex."""
    field = space.lumps(rng.uniform(0.15, 0.3), rng)
    steep = np.abs(np.diff(field, axis=2)).mean() * 1.8
    band = np.float32(rng.uniform(1.2, 2.2)) - np.abs(field) / steep
    around = _round(space.turned(centre, rng), space.edge * rng.uniform(0.2, 0.45, 3))
    return _largest(np.maximum(np.minimum(band, around), OUTSIDE))


def sheet(space: Space, centre: NDArray, rng: np.random.Generator) -> Field:
    """A thin, curved sheet: a membrane, a muscle, a flat bone."""
    z, y, x = space.turned(centre, rng)
    radius = space.edge * rng.uniform(0.2, 0.5)
    ripple = np.float32(rng.uniform(0, 0.06) * space.edge)
    height = (
        z + np.float32(rng.uniform(-0.5, 0.5) / radius) * (y * y + x * x) + ripple * space.lumps(0.25, rng)
    )
    stretch = np.float32(rng.uniform(0.4, 1))
    thick = np.float32(rng.uniform(0.7, 2.2))
    return np.minimum(thick - np.abs(height), radius - np.hypot(y, x / stretch))


def shell(space: Space, centre: NDArray, rng: np.random.Generator) -> Field:
    """The wall of a hollow body, closed or a cup: bladder, ventricle, skull."""
    points = space.turned(centre, rng)
    radii = space.edge * rng.uniform(0.15, 0.4) * rng.uniform(0.7, 1.2, 3)
    outer = _round(points, radii) + np.float32(0.1 * rng.random() * radii.min()) * space.lumps(0.25, rng)
    wall = np.minimum(outer, np.float32(rng.uniform(1.5, 4)) - outer)
    return (
        wall
        if rng.random() < 0.5
        else np.minimum(wall, points[0] + np.float32(rng.uniform(-0.3, 0.5) * radii[0]))
    )


def tube(space: Space, centre: NDArray, rng: np.random.Generator) -> Field:
    """A winding vessel, gut or nerve; seldom with a bulge (aneurysm)."""
    radius = rng.uniform(1.2, 0.08 * space.edge + 1.3)
    steps = int(rng.integers(6, 14))
    way = list(
        _walk(centre, _direction(rng), steps, space.edge * rng.uniform(0.05, 0.1), rng.uniform(0.1, 0.6), rng)
    )
    # Both ways from the centre, so that the middle of the tube is where it was asked for.
    radii = radius * (1 + 0.2 * np.sin(rng.uniform(0, 6) + rng.uniform(0, 1) * np.arange(len(way))))
    if rng.random() < 0.2:
        radii[len(way) // 2] *= rng.uniform(1.5, 2.2)
    moved = np.array(way) - np.mean(way, axis=0) + centre
    return _capsules(space, [(moved, np.maximum(radii, 0.9))])


def tree(space: Space, centre: NDArray, rng: np.random.Generator) -> Field:
    """A branching vessel or airway, thinner after each fork."""
    radius = rng.uniform(1.6, 0.06 * space.edge + 1.7)
    away = _direction(rng)
    growing = [(centre - away * space.edge * rng.uniform(0.2, 0.4), away, radius, 0)]
    branches = []
    most = int(rng.integers(2, 5))
    while growing:
        start, towards, radius, generation = growing.pop()
        length = space.edge * rng.uniform(0.05, 0.12)
        way = np.array(list(_walk(start, towards, 3, length, 0.25, rng)))
        branches.append((way, np.linspace(radius, 0.85 * radius, len(way))))
        if generation < most:
            onwards = (way[-1] - way[-2]) / np.linalg.norm(way[-1] - way[-2])
            for _ in range(2 if rng.random() < 0.9 else 3):
                turned = onwards + rng.uniform(0.4, 1.0) * _direction(rng)
                finer = max(0.8, radius * rng.uniform(0.65, 0.85))
                growing.append((way[-1], turned / np.linalg.norm(turned), finer, generation + 1))
    return _capsules(space, branches)


def bone(space: Space, centre: NDArray, rng: np.random.Generator) -> Field:
    """A vertebra-like bone: a body, a ring behind it and spikes."""
    size = space.edge * rng.uniform(0.1, 0.2)
    axes, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    body = _round(space.turned(centre, rng), size * rng.uniform(0.7, 1.1, 3))
    angles = np.linspace(0, 2 * np.pi, 9)
    ring = (
        centre
        + axes[0] * 1.5 * size
        + 0.8 * size * (np.outer(np.cos(angles), axes[0]) + np.outer(np.sin(angles), axes[1]))
    )
    thick = max(1.1, 0.25 * size)
    parts = [(ring, np.full(9, thick))]
    for foot, side in ((0, axes[0]), (2, axes[1]), (6, -axes[1])):
        reach = np.array([ring[foot], ring[foot] + side * size * rng.uniform(0.6, 1.4)])
        parts.append((reach, np.array([thick, 0.7 * thick])))
    return np.maximum(body, _capsules(space, parts))


def cluster(space: Space, centre: NDArray, rng: np.random.Generator) -> Field:
    """Many small bodies near one another, as metastases or lymph nodes."""
    spots = centre + rng.standard_normal((int(rng.integers(3, 10)), 3)) * space.edge * rng.uniform(0.1, 0.2)
    return _capsules(
        space,
        [(np.array([s, s + 0.1]), np.full(2, rng.uniform(1.6, 0.07 * space.edge + 1.7))) for s in spots],
    )


# Thin and branching shapes twice: data sets have fewest of them.
SHAPES: tuple[Shape, ...] = (
    *(ellipsoid, ellipsoid, block, blob, blob, lobes, region, ribbon, bone, cluster),
    *(sheet, shell, tube, tree) * 2,
)


def _round(points: NDArray[np.float32], radii: NDArray) -> Field:
    """The depth in an ellipsoid: exact to first order at its surface."""
    radii = radii.astype(np.float32)
    norm, slope = (length(points, radii**power) for power in (1, 2))
    return norm * (1 - norm) / (slope + np.float32(1e-6))


def length(points: NDArray[np.float32], radii: NDArray) -> Field:
    """The length of points (3, Z, Y, X) whose axes are divided by `radii`."""
    total = np.zeros(points.shape[1:], np.float32)
    for axis in range(3):
        scaled = points[axis] * (1 / radii[axis])
        scaled *= scaled
        total += scaled
    return np.sqrt(total, out=total)


def _largest(depth: Field) -> Field:
    """The depth field with all but the largest connected part outside."""
    parts = cc3d.connected_components(depth > 0, connectivity=6)
    sizes = np.bincount(parts.ravel())[1:]
    if len(sizes) < 2:
        return depth
    return np.where((parts == 0) | (parts == sizes.argmax() + 1), depth, np.float32(-0.5))


def _direction(rng: np.random.Generator) -> NDArray:
    towards = rng.standard_normal(3)
    return towards / np.linalg.norm(towards)


def _walk(
    start: NDArray, towards: NDArray, steps: int, length: float, winding: float, rng: np.random.Generator
) -> Iterator[NDArray]:
    """Points `length` voxels apart, on a way that turns by about `winding` radians a step."""
    yield start
    turn = _direction(rng)
    for _ in range(steps):
        turn = 0.7 * turn + 0.7 * _direction(rng)
        towards = towards + winding * turn
        towards = towards / np.linalg.norm(towards)
        start = start + length * towards
        yield start


def _capsules(space: Space, ways: list[tuple[NDArray, NDArray]]) -> Field:
    """The union of round tubes along polylines: points (M, 3) and the radius at each (M,)."""
    depth = np.full(space.shape, OUTSIDE)
    for points, radii in ways:
        for index in range(len(points) - 1):
            _capsule(depth, points[index], points[index + 1], radii[index], radii[index + 1])
    return depth


def _capsule(depth: Field, a: NDArray, b: NDArray, radius_a: float, radius_b: float) -> None:
    """Adds one, in the part of `depth` that it reaches."""
    reach = max(radius_a, radius_b) + 3
    lower = np.clip(np.floor(np.minimum(a, b) - reach), 0, depth.shape).astype(int)
    upper = np.clip(np.ceil(np.maximum(a, b) + reach) + 1, 0, depth.shape).astype(int)
    if (lower >= upper).any():
        return
    where = tuple(slice(i, j) for i, j in zip(lower, upper, strict=True))
    z, y, x = (
        (np.arange(i, j, dtype=np.float32) - np.float32(start)).reshape(
            [-1 if k == axis else 1 for k in range(3)]
        )
        for axis, (i, j, start) in enumerate(zip(lower, upper, a, strict=True))
    )
    along = (b - a).astype(np.float32)
    part = np.clip((z * along[0] + y * along[1] + x * along[2]) / max(float(along @ along), 1e-6), 0, 1)
    away = np.sqrt((z - part * along[0]) ** 2 + (y - part * along[1]) ** 2 + (x - part * along[2]) ** 2)
    radius = np.float32(radius_a) + part * np.float32(radius_b - radius_a)
    np.maximum(depth[where], radius - away, out=depth[where])
