"""The command `sama`: one file per verb, each thin: parse, call, print."""
