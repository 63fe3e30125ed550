-- What is over is found by its end.
CREATE INDEX suppression_until ON suppression (until) WHERE until IS NOT NULL;
