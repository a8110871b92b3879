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

-- Rises with every change of a product that a list would show, in the same statement: what is kept of a list is
-- kept under the generation that it shows. The one row makes such changes take turns.
CREATE TABLE product_list (
    generation bigint NOT NULL,
    only_one   boolean PRIMARY KEY DEFAULT true CHECK (only_one)
);

INSERT INTO product_list (generation) VALUES (1);
