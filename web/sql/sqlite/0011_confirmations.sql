-- Mails that asked a writer to confirm an address; what the relay holds of each is erased an hour later.
CREATE TABLE web_confirmation (
  message_id TEXT NOT NULL PRIMARY KEY,   -- the relay's; the address itself is in no table here
  at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
