"""What the other rooms build on: PostgreSQL, Valkey, settings, secrets, logs, metrics, imports."""
