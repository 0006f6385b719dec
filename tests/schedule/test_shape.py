"""What a plan says by itself, before any frame comes."""

from __future__ import annotations

from streamhebb.schedule import Plan, make_plan
from streamhebb.schedule._shape import KEPT, Shape, Shapes
from tests.schedule.promises import noting


def test_edges_of_a_net_of_two_stages():
    respond, learn = noting(0, 0), noting(1, 0, (0,))
    above, learn_above = noting(2, 1, (0,)), noting(3, 1, (2,))
    shape = Shape(make_plan([respond, learn, above, learn_above]))
    assert shape.waiting == [0, 1, 1, 1]
    assert shape.wakes == [[1, 2], [], [3], []]
    assert shape.follow == shape.wakes
    assert shape.asks == {0: ((0, 0),), 2: ((1, 0),)}


def test_a_lane_is_an_edge_where_after_is_none():
    shape = Shape(make_plan([noting(0, 7), noting(1, 7), noting(2, 7, (0,))]))
    assert shape.waiting == [0, 1, 2]
    assert shape.wakes == [[2], [], []]
    assert shape.follow == [[1, 2], [2], []]
    assert shape.asks == {0: ((7, 0),)}


def test_a_past_of_its_own_is_asked_for_and_is_no_edge():
    shape = Shape(make_plan([noting(0, 0), noting(1, 0, past=((0, 2), (5, 0))), noting(2, 1)]))
    assert shape.waiting == [0, 0, 0]
    assert shape.asks == {0: ((0, 0),), 1: ((0, 2), (5, 0)), 2: ((1, 0),)}


def test_what_follows_a_task_that_need_not_wait_asks_for_the_whole_lane():
    """Waiting for the one before is not enough: that one may start before those before it."""
    shape = Shape(make_plan([noting(0, 0, past=()), noting(1, 0), noting(2, 0)]))
    assert shape.asks == {0: (), 1: ((0, 0),), 2: ((0, 0),)}
    strict = Shape(make_plan([noting(0, 0, past=((0, 0), (1, 1))), noting(1, 0)]))
    assert strict.asks == {0: ((0, 0), (1, 1))}
    assert strict.waiting == [0, 1]


def test_every_task_counts_as_long_until_it_has_run():
    assert Shape(make_plan([noting(0, 0), noting(1, 0)])).seconds == [1.0, 1.0]


def test_the_shape_of_a_plan_is_made_once():
    shapes, plan = Shapes(), make_plan([noting(0, 0)])
    twin = make_plan(list(plan))
    assert twin == plan
    assert shapes.of(plan) is shapes.of(plan)
    assert shapes.of(twin) is not shapes.of(plan), "a plan is known by itself, not by what it holds"


def test_only_so_many_shapes_are_remembered():
    shapes = Shapes()
    plans: list[Plan] = [make_plan([noting(0, lane)]) for lane in range(KEPT + 9)]
    first = [shapes.of(plan) for plan in plans]
    assert len(shapes._known) == KEPT
    assert shapes.of(plans[-1]) is first[-1]
    assert shapes.of(plans[0]) is not first[0]
    assert shapes.of(plans[0]).plan is plans[0]


def test_a_plan_at_the_address_of_one_that_is_gone_gets_a_shape_of_its_own():
    shapes = Shapes()
    plan = make_plan([noting(0, 0), noting(1, 1)])
    other = Shape(make_plan([noting(0, 3)]))
    shapes._known[id(plan)] = other
    assert shapes.of(plan).plan is plan
