-- Sealed sender records and the audit of their openings; see ../sqlite/0004_sealed.sql.
CREATE TABLE web_sealed (
  letter_id TEXT PRIMARY KEY,
  key_name TEXT NOT NULL,
  record BYTEA NOT NULL
);

CREATE INDEX web_sealed_key ON web_sealed (key_name);

CREATE TABLE web_audit (
  n BIGINT PRIMARY KEY,
  at BIGINT NOT NULL,
  entry TEXT NOT NULL,
  previous BYTEA NOT NULL,
  hash BYTEA NOT NULL
);

CREATE FUNCTION web_audit_is_final() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''the audit is append-only''; END';

CREATE TRIGGER web_audit_fixed BEFORE UPDATE OR DELETE ON web_audit FOR EACH ROW EXECUTE FUNCTION web_audit_is_final();
