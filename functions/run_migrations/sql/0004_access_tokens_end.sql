-- Which of a client's access tokens count: those that carry this number. It rises with a new password, with
-- "log out everywhere", and with another role, and every token that was given out before is over at once. A
-- number, not a time: a token says its time in whole seconds, and two things may happen in one.
-- The release before neither reads nor writes it, and its tokens carry none, which counts as 0.
ALTER TABLE clients ADD COLUMN token_generation bigint NOT NULL DEFAULT 0;

-- No route changes a role, an operator's SQL does: so the rule stands here, where it cannot be forgotten.
CREATE FUNCTION end_access_tokens() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.token_generation := OLD.token_generation + 1;
    RETURN NEW;
END;
$$;

CREATE TRIGGER another_role_ends_access_tokens
    BEFORE UPDATE OF role ON clients
    FOR EACH ROW WHEN (OLD.role IS DISTINCT FROM NEW.role)
    EXECUTE FUNCTION end_access_tokens();

-- For finding the admins among millions of clients.
CREATE INDEX clients_who_are_admins ON clients (client_id) WHERE role = 'admin';
