"""Talking about a video: sessions, decoding, pictures and files of answers."""
