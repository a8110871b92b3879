"""The servers behind the functions: PostgreSQL, Valkey, the sample catalog, and starting them."""
