-- What a recipient asked of a relay on another machine that could not be asked then; deleted once it is done.
CREATE TABLE web_errand (
  kind TEXT NOT NULL,        -- 'refuse' or 'erase'
  address TEXT NOT NULL,
  mailbox BLOB NOT NULL,     -- keyed hash: no letter leaves for it meanwhile
  at INTEGER NOT NULL,       -- when it was asked, milliseconds
  PRIMARY KEY (kind, address)
) STRICT;
CREATE INDEX web_errand_mailbox ON web_errand (mailbox);
