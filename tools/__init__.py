"""Programs that write the generated files: the OpenAPI document and the schemas of events."""
