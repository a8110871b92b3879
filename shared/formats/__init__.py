"""Formats: JSON, cursors, entity tags, e-mails, ids."""
