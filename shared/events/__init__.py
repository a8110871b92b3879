"""What goes out: the outbox and the shapes of its events."""
