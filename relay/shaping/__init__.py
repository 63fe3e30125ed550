"""What all workers and nodes know together of paths: how far each warm-up is, kept in the database."""
