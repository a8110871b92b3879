"""Formats: JSON, cursors, entity tags and headers, e-mails, ids."""
