"""What the functions share: one module a subject, attached to every function as a Lambda layer."""
