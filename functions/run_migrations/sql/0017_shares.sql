-- Links under which anybody who has one reads a client's favorites. The token is kept as it is: its owner may
-- see it again, and it opens nothing but this list.
CREATE TABLE shares (
    share_id   uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    client_id  uuid NOT NULL REFERENCES clients ON DELETE CASCADE,
    title      text,
    token      text COLLATE "C" NOT NULL CONSTRAINT shares_token_unique UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz -- null: it has no end
);

CREATE INDEX shares_of_a_client ON shares (client_id, created_at);
