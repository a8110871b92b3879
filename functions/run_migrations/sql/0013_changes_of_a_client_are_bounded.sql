-- How much a client may still change: each favorite that is added or removed puts this moment 0.1 s further
-- ahead (a leaky bucket with one number, GCRA). What is too far ahead is refused by the functions
-- (shared/favorites/limits.py); the release before this one refuses nothing and is counted all the same.
--
-- The client's row is written for its count anyway, by the same trigger.
ALTER TABLE clients ADD COLUMN changes_counted_to timestamptz NOT NULL DEFAULT 'epoch';

CREATE OR REPLACE FUNCTION count_favorites() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
BEGIN
    UPDATE clients
       SET favorites_count = favorites_count + CASE TG_OP WHEN 'INSERT' THEN number ELSE -number END,
           favorites_revision = greatest(favorites_revision + 1,
                                         (extract(epoch FROM clock_timestamp()) * 1000000)::bigint),
           changes_counted_to = greatest(changes_counted_to, now()) + number * interval '0.1 seconds'
      FROM (SELECT client_id, count(*)::integer AS number FROM changed GROUP BY client_id) AS changes
     WHERE clients.client_id = changes.client_id;
    RETURN NULL;
END
$$;
