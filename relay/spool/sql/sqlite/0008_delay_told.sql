-- Whether its sender was told that this delivery is delayed (RFC 3464 §2.3.3): once a recipient.
ALTER TABLE delivery ADD COLUMN delay_told INTEGER NOT NULL DEFAULT 0;
