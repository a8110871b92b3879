CREATE TABLE original_favorites (
    id           bigserial PRIMARY KEY,
    client_id    text NOT NULL,
    product_id   text NOT NULL,
    favorited_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (client_id, product_id)
);
CREATE INDEX ON original_favorites (client_id, favorited_at);

CREATE TABLE original_clients (
    id            bigserial PRIMARY KEY,
    email         text NOT NULL UNIQUE,
    password_hash text NOT NULL
);
