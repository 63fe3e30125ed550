-- See ../sqlite/0021_legal_requests.sql.
CREATE TABLE web_legal_request (
  n BIGINT PRIMARY KEY,
  kind TEXT NOT NULL,
  case_number TEXT NOT NULL,
  authority TEXT NOT NULL,
  basis TEXT NOT NULL,
  letter_id TEXT NOT NULL,
  received BIGINT NOT NULL,
  due BIGINT NOT NULL,
  closed BIGINT,
  outcome TEXT
);

CREATE INDEX web_legal_request_open ON web_legal_request (letter_id) WHERE closed IS NULL;
