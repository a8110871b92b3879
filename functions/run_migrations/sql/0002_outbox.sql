-- A moment as every JSON of this service has it: RFC 3339, UTC, to the microsecond.
CREATE FUNCTION rfc3339(moment timestamptz) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN to_char(moment AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');

-- What happened here and others want to know: written with the change itself, sent by publish_events, removed
-- once it is sent.
CREATE TABLE outbox (
    outbox_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id    uuid NOT NULL DEFAULT gen_random_uuid(), -- the same in every delivery
    stream      text NOT NULL,                           -- events of one stream are sent in their order
    detail_type text NOT NULL,
    detail      json NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);

ALTER TABLE favorites ADD COLUMN price_when_favorited numeric;

UPDATE favorites
   SET price_when_favorited = price
  FROM products
 WHERE products.product_id = favorites.product_id;

ALTER TABLE favorites ALTER COLUMN price_when_favorited SET NOT NULL;
