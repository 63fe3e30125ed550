-- What came in from outside: one row a mail, one a recipient of it. A mail is committed before its 250, and sorted
-- afterwards; `sorted_at` NULL is work. Content holds strangers' addresses: it goes by `inbound.keep`.

CREATE TABLE inbound_mail (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  at INTEGER NOT NULL,
  peer TEXT NOT NULL,
  helo TEXT NOT NULL,
  tls INTEGER NOT NULL,
  reverse_path TEXT,                  -- NULL is the null path <>
  size INTEGER NOT NULL,
  content BLOB                        -- NULL once it was forgotten
) STRICT;
CREATE INDEX inbound_mail_at ON inbound_mail (at);

CREATE TABLE inbound (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  mail INTEGER NOT NULL,
  at INTEGER NOT NULL,
  address TEXT NOT NULL,              -- ours, as it was written in RCPT
  purpose TEXT NOT NULL,              -- what the address is for
  message TEXT,                       -- the delivery its token names
  n INTEGER,
  sorted_at INTEGER,
  kind TEXT,                          -- what the mail is, once it was read
  result TEXT,                        -- what followed from it
  shown INTEGER NOT NULL DEFAULT 0,   -- 1: a person should look at it
  done_at INTEGER,                    -- when somebody did
  detail TEXT                         -- JSON
) STRICT;
CREATE INDEX inbound_unsorted ON inbound (at) WHERE sorted_at IS NULL;
CREATE INDEX inbound_shown ON inbound (at) WHERE shown = 1;
CREATE INDEX inbound_mail_of ON inbound (mail);

-- DMARC and TLS reports, each once however often it is sent; content is zlib.
CREATE TABLE aggregate_report (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  form TEXT NOT NULL,
  domain TEXT NOT NULL,
  digest TEXT NOT NULL,
  at INTEGER NOT NULL,
  content BLOB NOT NULL,
  UNIQUE (form, digest)
) STRICT;

-- The ledger of feedback loops.
CREATE TABLE feedback_loop (
  name TEXT PRIMARY KEY,
  enrolled_at INTEGER,
  first_at INTEGER,
  last_at INTEGER,
  reports INTEGER NOT NULL DEFAULT 0
) STRICT;

-- From addresses that mail was sent with: who refuses mail to them refuses their mail.
CREATE TABLE sender_address (
  address TEXT PRIMARY KEY,           -- lower case
  at INTEGER NOT NULL
) STRICT;
