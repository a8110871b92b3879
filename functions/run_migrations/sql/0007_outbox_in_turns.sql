-- Rises with every batch that a publisher sends: by it another one sees that it is not alone.
CREATE TABLE outbox_turns (
    turn     bigint NOT NULL,
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one)
);

INSERT INTO outbox_turns (turn) VALUES (0);

-- Events that the bus will never take, and why: the others of their streams went on without them.
CREATE TABLE outbox_refused (
    outbox_id   bigint PRIMARY KEY,
    event_id    uuid NOT NULL,
    stream      text NOT NULL,
    detail_type text NOT NULL,
    detail      json NOT NULL,
    created_at  timestamptz NOT NULL,
    refused_at  timestamptz NOT NULL DEFAULT now(),
    reason      text NOT NULL
);

-- A request is answered within 5 s, and a function gives up a statement before that: the server gives it up a
-- little earlier, so that the function need not drop its connection. It also ends what nobody waits for any
-- more: statements whose client is gone, and transactions whose client fell silent with locks in its hands.
DO $$
BEGIN
    EXECUTE format('ALTER DATABASE %I SET statement_timeout = %L', current_database(), '3500ms');
    EXECUTE format('ALTER DATABASE %I SET client_connection_check_interval = %L', current_database(), '1s');
    EXECUTE format('ALTER DATABASE %I SET idle_in_transaction_session_timeout = %L', current_database(), '30s');
END
$$;
