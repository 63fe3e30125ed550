-- How long a person could still have decided about a letter that was let go: held again, it waits no longer than that.
ALTER TABLE web_handover ADD COLUMN hold_left INTEGER;   -- milliseconds; NULL: never held
