-- What a recipient asked of a relay that was away, sealed; takes the place of web_errand, whose rows are moved here.
CREATE TABLE web_kept_errand (
  kind TEXT NOT NULL,        -- 'refuse', 'erase' or 'opt-out'
  sealed BLOB NOT NULL,      -- the address, or a link's token, under a key of the node's secrets; the same for the same
  mailbox BLOB,              -- keyed hash of an address: no letter leaves for it meanwhile
  at INTEGER NOT NULL,       -- when it was asked, milliseconds
  who BLOB,                  -- hash of the network that posted a link, under a day's key that is only in memory
  PRIMARY KEY (kind, sealed)
) STRICT;
CREATE INDEX web_kept_errand_mailbox ON web_kept_errand (mailbox);
CREATE INDEX web_kept_errand_who ON web_kept_errand (who);
