"""What a server bears: visitors, faults and probes, against a server of one's own."""
