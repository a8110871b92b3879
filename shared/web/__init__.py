"""HTTP: the entry of every function, callers, parameters, bodies, responses and problems."""
