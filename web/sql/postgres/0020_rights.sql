-- See ../sqlite/0020_rights.sql.
CREATE INDEX web_decision_by_subject ON web_decision (subject);

CREATE TABLE web_question (
  mailbox BYTEA NOT NULL,
  message_id TEXT NOT NULL,
  until BIGINT NOT NULL,
  PRIMARY KEY (mailbox, message_id)
);

CREATE INDEX web_question_until ON web_question (until);
