"""Processes that do not outlive us."""
