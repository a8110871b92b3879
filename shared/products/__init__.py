"""Products: answers from the cache, the copy in PostgreSQL, the external catalog, push and poll."""
