"""Hypothesis as these tests use it: on a busy machine a slow example is no failure."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

__all__ = ["given", "st"]

settings.register_profile("favorites", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("favorites")
