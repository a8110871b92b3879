"""What one source address may try: guesses at passwords, and taken e-mails that it may find."""
