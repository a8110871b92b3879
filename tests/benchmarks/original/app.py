"""The stack's Lambda handler."""
# mypy: disable-error-code="import-not-found"

from routes import serve

lambda_handler = serve("routes")
