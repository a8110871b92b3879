-- What the functions of clients, log-in and favorites may do, and the one that sends the outbox. Nothing of
-- schema_migrations. Where columns are named, the others are out of reach: nobody here can make an admin. The
-- outbox's number is an identity, so whoever may insert needs nothing of its sequence.

GRANT SELECT, DELETE,
      INSERT (name, email, email_key, password_hash),
      UPDATE (name, email, email_key, password_hash, token_generation, updated_at) ON clients TO favorites_service;

GRANT SELECT, INSERT, DELETE,
      UPDATE (token_hash, previous_hash, rotated_at, expires_at) ON sessions TO favorites_service;

GRANT SELECT, INSERT, DELETE ON favorites TO favorites_service;

-- A favorite may be of a product that the copy does not have yet.
GRANT SELECT, INSERT, UPDATE ON products TO favorites_service;

GRANT SELECT, UPDATE (generation, synced_at, scheduled_at) ON product_list TO favorites_service;

-- Nothing updates it: rows that are about to be deleted are locked in order, which takes this right.
GRANT SELECT, INSERT, UPDATE (version), DELETE ON products_missed TO favorites_service;

GRANT SELECT, DELETE, INSERT (stream, detail_type, detail) ON outbox TO favorites_service;

GRANT SELECT, UPDATE (turn, last_stream) ON outbox_turns TO favorites_service;

GRANT SELECT, DELETE,
      INSERT (outbox_id, event_id, stream, detail_type, detail, created_at, reason) ON outbox_refused TO favorites_service;

GRANT SELECT, DELETE, INSERT (client_id, title, token, expires_at) ON shares TO favorites_service;

GRANT SELECT, INSERT, UPDATE (kind, value, threshold, currency, since_version, fired_at) ON favorite_alerts TO favorites_service;

GRANT SELECT, DELETE, INSERT (product_id, kind, old_price, new_price, currency, version),
      UPDATE (pages, after_threshold, after_client) ON alert_jobs TO favorites_service;
