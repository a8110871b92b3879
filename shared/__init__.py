"""What the functions share: a room for each concern, attached to every function as one Lambda layer."""

from shared.platform import lean_imports as lean_imports  # before any module imports a package
