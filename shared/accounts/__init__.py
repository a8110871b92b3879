"""Who uses the service: clients, their sessions and tokens, passwords, attempts, key rotation."""
