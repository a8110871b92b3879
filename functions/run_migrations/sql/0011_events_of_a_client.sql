-- The export finds a client's events that wait. Products have none of it: their events come by the thousand.
-- Making it keeps writers of the outbox waiting; the outbox is empty but for the last minute, so that is
-- milliseconds. A deploy during a long outage of the bus takes longer (docs/deploying.md).
CREATE INDEX outbox_of_a_client ON outbox (stream, outbox_id) WHERE stream LIKE 'client:%';
