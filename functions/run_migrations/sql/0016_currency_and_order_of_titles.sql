-- Products have a currency (ISO 4217; none where the catalog names none), and titles sort as people expect.
--
-- `sort_key` is made in Python (shared/formats/sort_keys.py), for this server may have no ICU. Rows of before
-- have an empty one, and so sort among themselves by id, until the next list of the catalog writes them.
-- Adding the columns rewrites no row. No release before 1.1.0 was deployed anywhere: one whose statements
-- return `products.*` would not know the new columns.

ALTER TABLE products ADD COLUMN currency text;
ALTER TABLE products ADD COLUMN sort_key text COLLATE "C" NOT NULL DEFAULT '';

CREATE INDEX products_by_sort_key ON products (sort_key, product_id) WHERE removed_at IS NULL;
DROP INDEX products_by_title;

-- The price when a product was marked is in that currency too: one in another is neither less nor more.
ALTER TABLE favorites ADD COLUMN currency_when_favorited text;
