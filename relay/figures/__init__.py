"""Figures: what happened to mail, counted by the hour and kept for a year; the base of every report and chart."""
