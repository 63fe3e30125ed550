-- Mails that asked a writer to confirm an address; see ../sqlite/0010_confirmations.sql.
CREATE TABLE web_confirmation (
  message_id TEXT PRIMARY KEY,
  at BIGINT NOT NULL
);
