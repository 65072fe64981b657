"""How well m6A peaks are called, compared between conditions and judged."""
