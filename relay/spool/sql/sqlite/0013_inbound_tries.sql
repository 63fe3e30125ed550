-- How often a life of a worker began with an item that an earlier one had left: what kills whoever reads it is put aside.

ALTER TABLE inbound ADD COLUMN tries INTEGER NOT NULL DEFAULT 0;
