-- The ceiling in force when the warm-up was last asked, for those who are shown it; 0: it is warm.
ALTER TABLE warm_up ADD COLUMN ceiling INTEGER NOT NULL DEFAULT 0;
