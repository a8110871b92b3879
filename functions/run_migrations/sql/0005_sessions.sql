-- One row a session, not one a refresh (shared/accounts/sessions.py). All refresh tokens of a session begin with
-- the same secret part, which finds the row: so a token that is older than the two here still names the
-- session that it was stolen from.
--
-- The release before goes on with refresh_tokens, which stays: a token from there becomes a session when it is
-- refreshed here. The release after this one removes the table, and with it what has expired there.
CREATE TABLE sessions (
    session_hash  bytea PRIMARY KEY,    -- SHA-256 of the part that all tokens of the session share
    client_id     uuid NOT NULL REFERENCES clients ON DELETE CASCADE,
    token_hash    bytea NOT NULL,       -- SHA-256 of the current refresh token
    previous_hash bytea,                -- and of the one before, which is good for a moment longer
    rotated_at    timestamptz NOT NULL DEFAULT now(), -- when the one took the place of the other
    logged_in_at  timestamptz NOT NULL, -- when the password was given
    expires_at    timestamptz NOT NULL
);

CREATE INDEX sessions_of_a_client ON sessions (client_id);
CREATE INDEX sessions_by_their_end ON sessions (expires_at);
