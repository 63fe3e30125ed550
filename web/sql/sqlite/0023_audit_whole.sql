-- What takes an entry away past the triggers on DELETE and UPDATE: here INSERT OR REPLACE, on PostgreSQL TRUNCATE.
CREATE TRIGGER web_audit_whole BEFORE INSERT ON web_audit WHEN EXISTS (SELECT 1 FROM web_audit WHERE n >= NEW.n) BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
