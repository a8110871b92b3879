-- When the copy was last what the catalog's list said (NULL: never), and when the schedule last read the list or
-- tried to: whoever finds the list old knows by it whether somebody else is about to read it.
ALTER TABLE product_list
    ADD COLUMN synced_at    timestamptz,
    ADD COLUMN scheduled_at timestamptz;

UPDATE product_list
   SET synced_at = (SELECT max(fetched_at) FROM products WHERE position <> 2147483647);

-- Products that the catalog's newest lists do not have, since the list of `version`. One that the list before
-- did not have either is removed; its row stays here, and no answer to a request brings it back. A table of its
-- own and no column: the release before this one reads all columns of `products`.
CREATE TABLE products_missed (
    product_id text COLLATE "C" PRIMARY KEY REFERENCES products ON DELETE CASCADE,
    version    bigint NOT NULL -- milliseconds since the epoch
);

-- A version that lies ahead of the clock (microseconds, most often) was taken once, and lets no later change win.
UPDATE products
   SET version = (extract(epoch FROM now()) * 1000)::bigint
 WHERE version > (extract(epoch FROM now()) * 1000)::bigint + 5 * 60 * 1000;
