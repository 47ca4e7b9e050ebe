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
        needs: packages or commands beside this package.
        code: runs as it stands, once `SERVER` is the server's and `clip.mp4` a video.
    """

    title: str
    about: str
    language: str
    needs: tuple[str, ...]
    code: str


PYTHON = f'''\
import json
import requests


def send(method, path, **what):
    response = requests.request(method, f"{SERVER}/api/sessions{{path}}", **what)
    if not response.ok:
        raise SystemExit(response.json()["error"]["message"])
    return response


with open("clip.mp4", "rb") as video:
    kind = {{"Content-Type": "application/octet-stream"}}
    session = "/" + send("POST", "?name=clip.mp4", data=video, headers=kind).json()["id"]

# Pixels of the video. Also "point": [[x, y, 1], ...], where 0 is outside, and "scribble": [[x, y], ...].
send("POST", f"{{session}}/regions", json={{"name": "r1", "frame": 0, "box": [68, 69, 97, 98]}})

with send("POST", f"{{session}}/ask", json={{"question": "What is <r1>?"}}, stream=True) as answer:
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
send("DELETE", session)
'''

CURL = f"""\
SERVER={SERVER}
ID=$(curl -s -H "Content-Type: application/octet-stream" --data-binary @clip.mp4 \\
    "$SERVER/api/sessions?name=clip.mp4" | python3 -c "import json, sys; print(json.load(sys.stdin)['id'])")
curl -s -H "Content-Type: application/json" -d '{{"name": "r1", "frame": 0, "box": [68, 69, 97, 98]}}' \\
    "$SERVER/api/sessions/$ID/regions"
curl -sN -H "Content-Type: application/json" -d '{{"question": "What is <r1>?"}}' \\
    "$SERVER/api/sessions/$ID/ask"
curl -s -o answer.json "$SERVER/api/sessions/$ID/export/answer.json"
curl -s -X DELETE "$SERVER/api/sessions/$ID"
"""

OPENAI = f"""\
import base64
import openai

client = openai.OpenAI(base_url="{SERVER}/v1", api_key="any")
with open("clip.mp4", "rb") as file:
    data = base64.b64encode(file.read()).decode()
video = {{"type": "video_url", "video_url": {{"url": f"data:video/mp4;base64,{{data}}"}}}}
answer = client.chat.completions.create(
    model=client.models.list().data[0].id,
    messages=[{{"role": "user", "content": [video, {{"type": "text", "text": "What is <r1>?"}}]}}],
    extra_body={{"regions": [{{"name": "r1", "frame": 0, "box": [68, 69, 97, 98]}}]}},
)
print(answer.choices[0].message.content)
for thing in answer.choices[0].message.sama["objects"]:  # "rle": a COCO mask, or null, for every frame
    print(thing["id"], thing["phrase"], thing["spans_s"])
"""

SNIPPETS = (
    Snippet("Python", "The routes the page itself uses.", "python", ("requests",), PYTHON),
    Snippet(
        "OpenAI client",
        "Any client of OpenAI's chat completions; masks lie under `sama`.",
        "python",
        ("openai",),
        OPENAI,
    ),
    Snippet("curl", "The page's routes from a shell.", "bash", ("curl",), CURL),
)
