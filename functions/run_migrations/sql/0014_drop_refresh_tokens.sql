-- Sessions of before 1.0 were kept here (see 0005_sessions.sql). No installation is that old.
DROP TABLE refresh_tokens;
