"""The order of a run's cells, as its tags tell it."""

import pytest

from nbmlops.entities import Order


@pytest.mark.parametrize(
    "order",
    [
        Order(),
        Order(is_presumed=True),
        Order(cells=(3, 7)),
        Order(cells=tuple(range(1, 40)), is_presumed=True),
    ],
)
def test_tags_give_back_the_order_they_were_made_of(order):
    assert Order.of(order.tags()) == order


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {"nbmlops.order": "clean", "nbmlops.order.cells": "3"},
        {"nbmlops.order.cells": "3"},
        {"nbmlops.order": "out-of-order", "nbmlops.order.cells": "<b>" + "9" * 5000},
    ],
)
def test_nothing_is_noted_of_an_order_that_is_clean_or_not_known(tags):
    assert Order.of(tags).note is None


def test_many_cells_are_counted_rather_than_named():
    note = Order(cells=tuple(range(1, 31))).note
    assert note.endswith("[11], [12] and 18 more differently")
