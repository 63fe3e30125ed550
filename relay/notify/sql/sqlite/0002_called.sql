-- What each way to a person was told of which alarm. A row goes when its end was told.
CREATE TABLE called (
    way TEXT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    since INTEGER NOT NULL,
    evidence TEXT NOT NULL,
    told INTEGER,
    ended INTEGER,
    failures INTEGER NOT NULL DEFAULT 0,
    next_at INTEGER NOT NULL,
    PRIMARY KEY (way, kind, subject)
) STRICT, WITHOUT ROWID;
