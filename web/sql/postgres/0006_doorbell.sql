-- First contact by doorbell; see ../sqlite/0006_doorbell.sql.
CREATE TABLE web_waiting (
  letter_id TEXT PRIMARY KEY,
  until BIGINT NOT NULL,
  sender_name TEXT NOT NULL,
  subject TEXT NOT NULL,
  message TEXT NOT NULL
);

CREATE INDEX web_waiting_until ON web_waiting (until);

CREATE TABLE web_known (
  mailbox BYTEA PRIMARY KEY,
  at BIGINT NOT NULL
);
