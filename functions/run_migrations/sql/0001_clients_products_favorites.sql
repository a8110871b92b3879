-- Statements of the functions that take longer than this are given up. It is a setting of the database, not of
-- the session: a pooling proxy pins the sessions that set something.
DO $$
BEGIN
    EXECUTE format('ALTER DATABASE %I SET statement_timeout = %L', current_database(), '5s');
END
$$;

CREATE TABLE clients (
    client_id     uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name          text NOT NULL,
    email         text NOT NULL,
    -- What two spellings of one address have in common (shared.emails.email_key): Unicode case folding, which
    -- lower() does not do under every collation.
    email_key     text NOT NULL CONSTRAINT clients_email_key_unique UNIQUE,
    password_hash text NOT NULL,
    role          text NOT NULL DEFAULT 'client' CHECK (role IN ('client', 'admin')),
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX clients_in_order_of_registration ON clients (created_at, client_id);

CREATE TABLE refresh_tokens (
    token_hash bytea PRIMARY KEY, -- SHA-256; the token itself is never stored
    family_id  uuid NOT NULL,     -- all that descend from one log-in
    client_id  uuid NOT NULL REFERENCES clients ON DELETE CASCADE,
    expires_at timestamptz NOT NULL,
    used_at    timestamptz        -- kept after use: seeing it again revokes the family
);

CREATE INDEX refresh_tokens_of_a_family ON refresh_tokens (family_id);
CREATE INDEX refresh_tokens_of_a_client ON refresh_tokens (client_id);

CREATE TABLE products (
    product_id   text COLLATE "C" PRIMARY KEY,
    title        text COLLATE "C" NOT NULL,
    price        numeric NOT NULL,
    description  text NOT NULL,
    category     text NOT NULL,
    image        text NOT NULL,
    review_rate  numeric,
    review_count integer,
    -- Where the catalogue lists it; products that no list has shown yet come last.
    position     integer NOT NULL DEFAULT 2147483647,
    version      bigint NOT NULL,      -- milliseconds since the epoch; newer wins
    fetched_at   timestamptz NOT NULL, -- when the catalogue last confirmed it
    removed_at   timestamptz           -- a tombstone
);

CREATE INDEX products_in_catalog_order ON products (position, product_id) WHERE removed_at IS NULL;
CREATE INDEX products_by_price ON products (price, product_id) WHERE removed_at IS NULL;
CREATE INDEX products_by_title ON products (title, product_id) WHERE removed_at IS NULL;
CREATE INDEX products_of_a_category ON products (category, position, product_id) WHERE removed_at IS NULL;

CREATE TABLE favorites (
    client_id    uuid NOT NULL REFERENCES clients ON DELETE CASCADE,
    product_id   text COLLATE "C" NOT NULL REFERENCES products,
    favorited_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (client_id, product_id)
);

CREATE INDEX favorites_of_a_client ON favorites (client_id, favorited_at DESC, product_id);
CREATE INDEX favorites_of_a_product ON favorites (product_id);
