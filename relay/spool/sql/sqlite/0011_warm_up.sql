-- The source that a host last answered through: the delivery returns from it. `warm_up` is the warm-up that it left by
-- (0: by none) or, while `promised` is set, whose ceiling it waits for, with the departure it was told.
ALTER TABLE delivery ADD COLUMN source TEXT;
ALTER TABLE delivery ADD COLUMN warm_up INTEGER;
ALTER TABLE delivery ADD COLUMN promised INTEGER;
