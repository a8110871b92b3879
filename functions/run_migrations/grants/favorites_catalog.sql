-- What the functions of the catalog may do, most of them public or fed from outside: keep the copy, and tell
-- of its changes. Nothing of clients, sessions and schema_migrations.

GRANT SELECT, INSERT, UPDATE ON products TO favorites_catalog;

GRANT SELECT, UPDATE (generation, synced_at, scheduled_at) ON product_list TO favorites_catalog;

-- Nothing updates it: rows that are about to be deleted are locked in order, which takes this right.
GRANT SELECT, INSERT, UPDATE (version), DELETE ON products_missed TO favorites_catalog;

-- Whether anybody holds a product, and not who.
GRANT SELECT (product_id) ON favorites TO favorites_catalog;

GRANT INSERT (stream, detail_type, detail) ON outbox TO favorites_catalog;

GRANT INSERT (product_id, kind, old_price, new_price, currency, version) ON alert_jobs TO favorites_catalog;
