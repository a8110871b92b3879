-- An execution environment that Lambda has frozen keeps its connection for as long as the server lets it, and
-- with it the database awake that could pause. The next request of such an environment finds the connection
-- closed and opens another (shared/database.py).
DO $$
BEGIN
    EXECUTE format('ALTER DATABASE %I SET idle_session_timeout = %L', current_database(), '10min');
END
$$;
