-- What was decided about one letter is looked up by it.
CREATE INDEX web_decision_by_subject ON web_decision (subject);

-- Mails that asked whether an address wants the weekly. Without its line a link of that mail subscribes nobody.
CREATE TABLE web_question (
  mailbox BLOB NOT NULL,                  -- keyed hash of the canonical address
  message_id TEXT NOT NULL,               -- the relay's, which forgets the mail with the line; '': it took none
  until INTEGER NOT NULL,                 -- milliseconds since 1970: how long it may be answered; 0: it was
  PRIMARY KEY (mailbox, message_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX web_question_until ON web_question (until);
