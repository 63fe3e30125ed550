-- What a credential opens; see ../sqlite/0002_access.sql.
ALTER TABLE credential ADD COLUMN access TEXT NOT NULL DEFAULT '';
