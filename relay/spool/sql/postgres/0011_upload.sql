-- A large body on its way in; see ../sqlite, 0012_upload.sql.

CREATE TABLE upload (
  message BIGINT PRIMARY KEY,
  incarnation BIGINT NOT NULL,
  given_up SMALLINT NOT NULL DEFAULT 0
);
