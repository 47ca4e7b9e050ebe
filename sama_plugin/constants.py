"""Special tokens and slot indices: the vocabulary every room shares (design: tokens and layout)."""

IGNORE_INDEX = -100
"""Label of a position that carries no loss."""

FRAME_TOKEN_INDEX = -200
"""Slot of one dense-frame feature; the host's own `<image>` index."""

CONTEXT_TOKEN_INDEX = -201
"""Slot of one context token (one per sparse frame per question)."""

REGION_TOKEN_INDEX = -202
"""Slot of one region token; a region takes two, look then shape."""

TOKENS_PER_REGION = 2

SEG_TOKEN = "[SEG]"
PHRASE_START = "<p>"
PHRASE_END = "</p>"
REGION_START = "<vp>"
REGION_END = "</vp>"
SPECIAL_TOKENS = (SEG_TOKEN, PHRASE_START, PHRASE_END, REGION_START, REGION_END)
"""Tokens added to the host tokenizer, in this order, as special tokens."""

DATA_REGION = "<mask>"
"""How SAMA-239K and SAMA-Bench files mark a region in a question; never reaches the LLM."""

MAX_BROKEN_SAMPLES = 100
"""Samples of a training run that cannot be read and are passed over; one more ends it."""
