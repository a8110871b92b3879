-- How many favorites each client has, and a number that rises with every change of them. Both stand in the
-- client's own row: a request reads that row anyway, to see that its caller still exists.
ALTER TABLE clients ADD COLUMN favorites_count integer NOT NULL DEFAULT 0;
ALTER TABLE clients ADD COLUMN favorites_revision bigint NOT NULL DEFAULT 0;

-- Triggers keep them, so that whatever writes favorites keeps them right: also the release before this one,
-- which knows nothing of them. They run once a statement, be it one favorite or a hundred, in the statement that
-- writes. The removal of a client finds its row gone and changes nothing.
--
-- A revision is the time of its change in microseconds: restoring a backup takes the count back, and brings no
-- revision twice. It runs as the tables' owner, so that no function's role may write a count itself.
CREATE FUNCTION count_favorites() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
BEGIN
    UPDATE clients
       SET favorites_count = favorites_count + CASE TG_OP WHEN 'INSERT' THEN number ELSE -number END,
           favorites_revision = greatest(favorites_revision + 1,
                                         (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
      FROM (SELECT client_id, count(*)::integer AS number FROM changed GROUP BY client_id) AS changes
     WHERE clients.client_id = changes.client_id;
    RETURN NULL;
END
$$;

CREATE TRIGGER count_added_favorites AFTER INSERT ON favorites
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_favorites();

CREATE TRIGGER count_removed_favorites AFTER DELETE ON favorites
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_favorites();
