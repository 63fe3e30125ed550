-- How often an item was begun again; see ../sqlite, 0013_inbound_tries.sql.

ALTER TABLE inbound ADD COLUMN tries BIGINT NOT NULL DEFAULT 0;
