"""What the functions share: one module a subject, attached to every function as a Lambda layer."""

from shared import lean_imports as lean_imports  # before any module imports a package
