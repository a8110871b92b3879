"""Favorites: the products that a client marked."""
