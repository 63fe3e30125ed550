-- How many aggregate reports were kept and declined; see ../sqlite, 0017_report_share.sql.

CREATE TABLE report_share (
  day BIGINT NOT NULL,
  domain TEXT NOT NULL,
  reporter TEXT NOT NULL,
  reports BIGINT NOT NULL,
  octets BIGINT NOT NULL,
  declined BIGINT NOT NULL,
  PRIMARY KEY (day, domain, reporter)
);
