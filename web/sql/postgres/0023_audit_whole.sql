-- TRUNCATE fires no trigger for rows; see ../sqlite/0023_audit_whole.sql.
CREATE TRIGGER web_audit_whole BEFORE TRUNCATE ON web_audit FOR EACH STATEMENT EXECUTE FUNCTION web_audit_is_final();
