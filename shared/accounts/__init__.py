"""Who uses the service: clients, sessions, access tokens, passwords, log-in attempts, key rotation."""
