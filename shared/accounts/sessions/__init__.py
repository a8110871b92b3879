"""Sessions: log in, stay logged in by rotating refresh tokens, log out, and the purge of expired ones."""
