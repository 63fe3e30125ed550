-- Letters to the operator's own mailboxes elsewhere, and where they arrived. No address: a mailbox has a name.
CREATE TABLE seed_letter (
  seed TEXT NOT NULL,                 -- the mailbox's name in the settings
  sent INTEGER NOT NULL,              -- milliseconds since the epoch
  landing TEXT NOT NULL,              -- 'inbox', 'junk', 'other', 'missing', 'refused' or 'waiting'
  folder TEXT NOT NULL,               -- as its server calls it, '' where it was not found
  spf TEXT NOT NULL,                  -- results as the receiver wrote them, '' where it did not
  dkim TEXT NOT NULL,
  dmarc TEXT NOT NULL,
  tls TEXT NOT NULL,
  delay INTEGER,                      -- milliseconds from hand-in to arrival
  PRIMARY KEY (seed, sent)
) STRICT, WITHOUT ROWID;
