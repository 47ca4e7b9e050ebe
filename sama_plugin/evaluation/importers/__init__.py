"""Published predictions of other models, in their own layouts → `predictions.jsonl`, to be scored like ours.

mask_tree       a picture per frame: VISA, UNINEXT, OnlineRefer, TrackGPT, Sa2VA and whoever submits to MeViS
json_answers    texts: Video-ChatGPT, VideoChat2, SAMA's own outputs on SAMA-Bench-C
"""
