"""Makes SAMA-239K-like data from videos with mask tracks: choose, mark, describe, converse, verify, convert, filter."""
