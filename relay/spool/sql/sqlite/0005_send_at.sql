-- Before when a message may not be sent, by its sender's wish: such a due time is no retry's (relay.spool.dues).
ALTER TABLE message ADD COLUMN send_at INTEGER;
