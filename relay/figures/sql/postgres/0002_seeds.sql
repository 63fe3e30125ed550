-- Letters to the operator's own mailboxes elsewhere; what the columns mean is told in ../sqlite/0002_seeds.sql.
CREATE TABLE seed_letter (
  seed TEXT NOT NULL,
  sent BIGINT NOT NULL,
  landing TEXT NOT NULL,
  folder TEXT NOT NULL,
  spf TEXT NOT NULL,
  dkim TEXT NOT NULL,
  dmarc TEXT NOT NULL,
  tls TEXT NOT NULL,
  delay BIGINT,
  PRIMARY KEY (seed, sent)
);
