-- Numbers of `changed` are never given twice, though the row that had the highest one is deleted: whoever follows them
-- would pass over the next row.
CREATE TABLE suppression_deleted (changed INTEGER NOT NULL) STRICT;
INSERT INTO suppression_deleted (changed) VALUES (0);
CREATE TRIGGER suppression_deletes AFTER DELETE ON suppression
  WHEN old.changed > (SELECT changed FROM suppression_deleted)
  BEGIN UPDATE suppression_deleted SET changed = old.changed; END;

-- What is over is found by its end.
CREATE INDEX suppression_until ON suppression (until) WHERE until IS NOT NULL;
