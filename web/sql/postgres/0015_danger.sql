-- Letters taken for a threat to a life; see ../sqlite/0015_danger.sql.
CREATE TABLE web_danger (
  letter_id TEXT PRIMARY KEY,
  case_id TEXT NOT NULL UNIQUE,
  at BIGINT NOT NULL,
  created BIGINT,
  language TEXT NOT NULL,
  rules TEXT NOT NULL,
  sender_name TEXT NOT NULL,
  recipient TEXT NOT NULL,
  subject TEXT NOT NULL,
  message TEXT NOT NULL,
  words TEXT NOT NULL,
  reason TEXT NOT NULL,
  told BIGINT,
  closed BIGINT
);
