-- Events that were set aside are found by their client, for the export and for a removal, and by their age.
CREATE INDEX outbox_refused_by_stream ON outbox_refused (stream);
CREATE INDEX outbox_refused_by_age ON outbox_refused (refused_at);
