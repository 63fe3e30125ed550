"""The relay: takes mail in, keeps it safe, and hands it to the recipients' providers by SMTP."""

__version__ = "0.1.0"
