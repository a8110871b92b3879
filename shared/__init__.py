"""What the functions share: a room for each concern, attached to every function as one Lambda layer."""
