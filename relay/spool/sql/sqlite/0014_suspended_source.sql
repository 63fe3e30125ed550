-- A suspension may mean one egress source alone: no claim heeds it, the workers let the path rest.
ALTER TABLE suspension ADD COLUMN source TEXT;
