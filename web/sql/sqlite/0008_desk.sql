-- Decisions are only ever added to; a line may go once there is one that is 366 days younger. On one line each:
-- migrations are cut at semicolons that end a line. A deletion that comes too early is passed over, not an error:
-- programs of before this file forget by their own clock.
CREATE TRIGGER web_decision_fixed BEFORE UPDATE ON web_decision BEGIN SELECT RAISE(ABORT, 'decisions are append-only'); END;

CREATE TRIGGER web_decision_kept BEFORE DELETE ON web_decision WHEN OLD.at > (SELECT MAX(at) FROM web_decision) - 31622400000 BEGIN SELECT RAISE(IGNORE); END;
