"""Writers of documents: the OpenAPI document, the events' schemas, the costs."""
