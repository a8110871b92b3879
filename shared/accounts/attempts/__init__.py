"""What one source IP may try: guesses at a password, and how many taken e-mails it may learn of."""
