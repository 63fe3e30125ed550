-- How many aggregate reports were kept and declined, a day, domain and reporter: strangers may invent both.

CREATE TABLE report_share (
  day INTEGER NOT NULL,               -- days since the epoch
  domain TEXT NOT NULL,               -- ours; '' = of reports about nobody's
  reporter TEXT NOT NULL,             -- the network that brought it; '' = the sum
  reports INTEGER NOT NULL,           -- kept
  octets INTEGER NOT NULL,            -- of those kept, as they are stored
  declined INTEGER NOT NULL,          -- counted and not kept
  PRIMARY KEY (day, domain, reporter)
) STRICT, WITHOUT ROWID;
