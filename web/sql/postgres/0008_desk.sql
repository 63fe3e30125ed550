-- Decisions are only ever added to; see ../sqlite/0008_desk.sql.
CREATE FUNCTION web_decision_is_final() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''decisions are append-only''; END';

CREATE FUNCTION web_decision_is_kept() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF OLD.at > (SELECT MAX(at) FROM web_decision) - 31622400000 THEN RETURN NULL; END IF; RETURN OLD; END';

CREATE TRIGGER web_decision_fixed BEFORE UPDATE ON web_decision FOR EACH ROW EXECUTE FUNCTION web_decision_is_final();

CREATE TRIGGER web_decision_kept BEFORE DELETE ON web_decision FOR EACH ROW EXECUTE FUNCTION web_decision_is_kept();
