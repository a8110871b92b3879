"""What the rest stands on: PostgreSQL, Valkey, settings, secrets, logs, metrics, snapshots, imports."""
