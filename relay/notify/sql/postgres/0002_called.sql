-- What each way to a person was told of which alarm. A row goes when its end was told.
CREATE TABLE called (
    way TEXT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    since BIGINT NOT NULL,
    evidence TEXT NOT NULL,
    told BIGINT,
    ended BIGINT,
    failures BIGINT NOT NULL DEFAULT 0,
    next_at BIGINT NOT NULL,
    PRIMARY KEY (way, kind, subject)
);
