-- The relay takes the next events of each stream, and passes over a stream with millions of events in one step
-- of this index. It also serves what outbox_of_a_client served. Making it keeps writers of the outbox waiting;
-- the outbox has the events of the last minute only, so that is milliseconds. A deploy during a long outage of
-- the bus takes longer (docs/deploying.md).
CREATE INDEX outbox_by_stream ON outbox (stream, outbox_id);
DROP INDEX outbox_of_a_client;

-- The stream at which the relay goes on: each run begins behind the last one, so that none waits for ever.
ALTER TABLE outbox_turns ADD COLUMN last_stream text NOT NULL DEFAULT '';
