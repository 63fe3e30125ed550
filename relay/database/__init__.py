"""Databases: a writer with group commit, readers, migrations. What the tables mean is the callers' matter."""
