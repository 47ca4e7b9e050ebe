"""What the tab "From code" shows: the page's conversation as programs, to be copied and run."""

from __future__ import annotations

from dataclasses import dataclass

SERVER = "http://127.0.0.1:7860"
"""In the snippets; the page puts its own address in its place."""


@dataclass(frozen=True)
class Snippet:
    """A program.

    Attributes:
        title: of its section.
        about: a sentence before it.
        language: it is written in.
        code: runs as it stands, once `SERVER` is the server's and `clip.mp4` a video.
    """

    title: str
    about: str
    language: str
    code: str


PYTHON = f'''\
import json
import requests

server = "{SERVER}"
with open("clip.mp4", "rb") as video:
    session = requests.post(
        f"{{server}}/api/sessions",
        params={{"name": "clip.mp4"}},
        data=video,
        headers={{"Content-Type": "application/octet-stream"}},
    ).json()
here = f"{{server}}/api/sessions/{{session['id']}}"

# Point: pixels of the video; 1 is inside, 0 is outside. Also "box": [x0, y0, x1, y1] and "scribble": [[x, y], ...].
region = requests.post(f"{{here}}/regions", json={{"name": "r1", "frame": 0, "point": [[60, 40, 1]]}}).json()

question = {{"question": f"What is <{{region['name']}}>?"}}
with requests.post(f"{{here}}/ask", json=question, stream=True) as answer:
    for line in answer.iter_lines(decode_unicode=True):
        if line.startswith("event: "):
            event = line.removeprefix("event: ")
        elif line.startswith("data: "):
            data = json.loads(line.removeprefix("data: "))
            if event == "text":
                print(data["text"], end="", flush=True)
            elif event == "done":  # data["objects"][i]["rle"]: a COCO mask, or null, for every frame
                print([(thing["id"], thing["phrase"], thing["spans_s"]) for thing in data["objects"]])
            elif event == "error":
                raise SystemExit(data["message"])
requests.delete(here)
'''

CURL = f"""\
SERVER={SERVER}
ID=$(curl -s -H "Content-Type: application/octet-stream" --data-binary @clip.mp4 \\
    "$SERVER/api/sessions?name=clip.mp4" | python3 -c "import json, sys; print(json.load(sys.stdin)['id'])")
curl -s -H "Content-Type: application/json" -d '{{"name": "r1", "frame": 0, "box": [40, 20, 90, 70]}}' \\
    "$SERVER/api/sessions/$ID/regions"
curl -sN -H "Content-Type: application/json" -d '{{"question": "What is <r1>?"}}' \\
    "$SERVER/api/sessions/$ID/ask"
curl -s -o answer.json "$SERVER/api/sessions/$ID/export/answer.json"
curl -s -X DELETE "$SERVER/api/sessions/$ID"
"""

SNIPPETS = (
    Snippet("Python", "The routes the page itself uses, with requests.", "python", PYTHON),
    Snippet("curl", "The same from a shell.", "bash", CURL),
)
