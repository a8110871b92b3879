"""Customers at random operations, many on each account: the history of their answers held against a model."""

from local.stack import Stack
from tests.model import events
from tests.model.history import Customers
from tests.model.verdict import faults_of


def test_whatever_customers_do_at_once_looks_as_if_it_were_done_one_after_the_other(stack: Stack) -> None:
    customers = Customers(stack.url, workers=16, clients=4)
    customers.work(5, at_least=600)
    sent = events.waiting(stack.settings["DATABASE_URL"])  # nothing publishes here
    assert faults_of(customers.history, sent, stack.settings["DATABASE_URL"]) == []
