-- What a released letter's hold had left; see ../sqlite/0019_hold_left.sql.
ALTER TABLE web_handover ADD COLUMN hold_left BIGINT;
