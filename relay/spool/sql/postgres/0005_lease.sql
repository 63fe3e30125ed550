-- Each life says for how long it may be silent, and where it runs. NULL, from a program that knew neither: a minute.

ALTER TABLE incarnation ADD COLUMN lease BIGINT;
ALTER TABLE incarnation ADD COLUMN place TEXT;
