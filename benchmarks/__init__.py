"""Measurements of how good and how fast Ringmark is; no part of a run."""
