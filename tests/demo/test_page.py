"""The page in a real Chromium, on the real server with the shipped checkpoint.

`pytest tests/demo/test_page.py --screenshots docs/pictures` also makes the pictures of the docs anew.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from sama_plugin.demo.code_snippets import SERVER, SNIPPETS
from sama_plugin.demo.story import Story, make_story
from sama_plugin.demo.trial.own_server import own_server
from sama_plugin.media.decode import VideoClip
from sama_plugin.media.encode import write_video
from sama_plugin.media.masks import box_of_mask, decode_mask, encode_mask
from tests.demo.page_visitor import PageVisitor

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed (pip install -e .[dev])"
)
pytest.importorskip("gradio", reason="gradio is not installed (pip install -e .[web])")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")

FLAGS = ("--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync")
SEED = 25
SMALL_RED, YELLOW, BLUE = 1, 2, 3
"""Objects of the scene; the small red square comes late."""


@pytest.fixture(scope="module")
def story() -> Story:
    return make_story(SEED)


@pytest.fixture(scope="module")
def clip(story: Story, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_video(path, story.frames, story.scene.fps, crf=16)
    return path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of `sama serve` as it is without options."""
    with own_server((), tmp_path_factory.mktemp("work")) as running:
        yield running.url


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def tab(browser: Any, server: str) -> Iterator[PageVisitor]:
    """Someone on a desk; loading the page takes a second, so the tests share it."""
    someone = PageVisitor(browser, server, permissions=["clipboard-read", "clipboard-write"])
    someone.arrive()
    yield someone
    someone.leave()


@pytest.fixture
def visitor(tab: PageVisitor) -> Iterator[PageVisitor]:
    """The same, about to open a video; whatever a test does, the browser sees no fault but those it expects."""
    tab.begin_anew()
    yield tab
    assert tab.faults == []


def centre(story: Story, thing: int, frame: int = 0) -> tuple[float, float]:
    """Of an object, pixels of the video."""
    x0, y0, x1, y1 = box_of_mask(story.tracks[thing, frame])
    return (x0 + x1) / 2, (y0 + y1) / 2


def corners(story: Story, thing: int, frame: int = 0) -> tuple[tuple[float, float], tuple[float, float]]:
    x0, y0, x1, y1 = box_of_mask(story.tracks[thing, frame])
    return (x0 - 2, y0 - 2), (x1 + 2, y1 + 2)


def test_clicks_refine_a_region_until_a_new_one_begins(
    visitor: PageVisitor, clip: Path, story: Story
) -> None:
    visitor.upload(clip)
    bare = visitor.colour_at(centre(story, YELLOW))
    visitor.click(centre(story, YELLOW))
    visitor.wait_for_regions(1)
    assert np.abs(visitor.colour_at(np.add(centre(story, YELLOW), (-6, 6))) - bare).sum() > 60
    with visitor.page.expect_request(lambda request: request.method == "PUT") as sent:
        visitor.click(centre(story, BLUE), outside=True)
    assert [label for _, _, label in sent.value.post_data_json["point"]] == [1, 0]
    visitor.wait_for_regions(1)
    visitor.page.keyboard.press("n")
    visitor.click(centre(story, BLUE))
    visitor.wait_for_regions(2)
    assert "r2: " in visitor.page.locator("#sama-stage-text").text_content()
    visitor.page.get_by_role("button", name="Delete r1").click()
    visitor.wait_for_regions(1)


def test_two_regions_of_boxes_and_scribbles_in_a_question(
    visitor: PageVisitor, clip: Path, story: Story
) -> None:
    visitor.upload(clip)
    visitor.page.get_by_text("Box", exact=True).click()
    visitor.drag(*corners(story, BLUE))
    visitor.wait_for_regions(1)
    visitor.page.get_by_text("Scribble", exact=True).click()
    x, y = centre(story, YELLOW)
    visitor.drag((x - 4, y - 3), (x, y + 3), (x + 4, y - 2))
    visitor.wait_for_regions(2)
    name = visitor.page.get_by_role("textbox", name="Name of r2")
    name.fill("sun")
    name.press("Enter")
    visitor.page.get_by_role("textbox", name="Name of sun").wait_for()
    field = visitor.page.get_by_role("combobox", name="Question")
    field.fill("Describe ")
    visitor.page.get_by_role("group", name="Put into the question").get_by_text("r1").click()
    field.press_sequentially(" and <s")
    assert visitor.page.get_by_role("listbox", name="Names").get_by_role("option").all_inner_texts() == [
        "sun region on frame 0"
    ]
    field.press("Enter")
    assert field.input_value() == "Describe <r1> and <sun>"
    visitor.page.evaluate(WATCH_ANSWER)
    answer = visitor.ask()
    lengths = visitor.page.evaluate("window.lengths")
    assert len(set(lengths)) > 2, "the text came in pieces"
    assert lengths == sorted(lengths)
    assert lengths[-1] == len(answer) > 0
    assert visitor.page.locator(".question .chip").all_inner_texts() == ["r1", "sun"]


WATCH_ANSWER = """() => {
    window.lengths = [];
    new MutationObserver(() => {
        const answer = document.querySelector(".answer");
        if (answer && answer.textContent) window.lengths.push(answer.textContent.length);
    }).observe(document.querySelector(".turns"), {childList: true, subtree: true, characterData: true});
}"""


def test_phrase_shows_its_object_and_can_be_meant_again(
    visitor: PageVisitor, clip: Path, story: Story, tmp_path: Path, screenshots: Path | None
) -> None:
    visitor.upload(clip)
    visitor.click(centre(story, BLUE))
    visitor.wait_for_regions(1)
    visitor.ask("What is <r1>?")
    visitor.ask("Segment the small red square.")
    first = int(np.flatnonzero(story.tracks[SMALL_RED].any(axis=(1, 2)))[0])
    visitor.wait_for_frame(first)  # the picture followed the masks, and ends where the object is seen first
    last = story.frames.shape[0] - 1
    visitor.go_to(last)
    here = centre(story, SMALL_RED, last)
    plain = visitor.colour_at(here)
    phrase = visitor.page.get_by_role("link", name="The small red square")
    phrase.hover()
    assert np.abs(visitor.colour_at(here) - plain).sum() > 20
    assert visitor.page.locator(".timeline .is-high").count() == 1
    visitor.page.mouse.move(0, 0)
    assert visitor.page.locator(".is-high").count() == 0
    phrase.focus()
    assert visitor.page.locator(".objects .is-high").count() == 1
    visitor.go_to(0)
    phrase.click()
    visitor.wait_for_frame(first)
    left = visitor.page.locator(".bar").bounding_box()["x"]
    track = visitor.page.locator(".tracks .track").bounding_box()
    assert left == pytest.approx(track["x"] + track["width"] * first / last, abs=2)
    visitor.page.get_by_role("button", name="use as region").click()
    assert visitor.page.get_by_role("combobox", name="Question").input_value() == "<obj1>"
    assert visitor.ask("What does <obj1> do?")
    if screenshots:
        phrase.hover()
        visitor.page.screenshot(path=screenshots / "page.png")
    _look_in_the_dark(visitor, screenshots)
    _export(visitor, story, tmp_path)
    _edit_and_rewind(visitor)


def _look_in_the_dark(visitor: PageVisitor, screenshots: Path | None) -> None:
    """All text can be read in light and dark; the button in the head changes between them, and is remembered."""
    assert visitor.page.evaluate(FAINT_TEXT) == []
    switch = visitor.page.get_by_role("button", name="Light or dark")
    switch.click()
    assert visitor.page.evaluate(FAINT_TEXT) == []
    assert visitor.page.locator("body.dark").count() == 1
    if screenshots:
        visitor.page.screenshot(path=screenshots / "page_dark.png")
    switch.click()
    assert visitor.page.locator("body.dark").count() == 0


def _edit_and_rewind(visitor: PageVisitor) -> None:
    """The third question asked anew in other words, then back to the first."""
    visitor.page.get_by_role("button", name="Edit and ask again").nth(2).click()
    field = visitor.page.get_by_role("combobox", name="Question")
    assert field.input_value() == "What does <obj1> do?"
    field.fill("What is <obj1>?")
    field.press("Enter")
    visitor.page.get_by_role("article", name="Question 3").filter(has_text="What is obj1?").wait_for()
    visitor.wait_for_turns(3)
    visitor.page.get_by_role("button", name="Go back to here").first.click()
    visitor.page.get_by_role("button", name="Drop the 2 answers after this?").click()
    visitor.page.wait_for_function("() => document.querySelectorAll('.turn').length === 1")
    assert visitor.page.evaluate("document.activeElement.className") == "turns"
    assert visitor.page.locator(".tracks .row").count() == 0
    assert "obj1" not in visitor.page.get_by_role("group", name="Put into the question").inner_text()


def _export(visitor: PageVisitor, story: Story, folder: Path) -> None:
    """Each file of the menu, downloaded and read; the script of the conversation, copied."""
    files = {}
    menu = visitor.page.locator(".menu")
    menu.get_by_text("Export", exact=True).click()
    for words in ("Video with masks", "Picture strip", "Conversation", "Masks as COCO", "Masks as pictures"):
        with visitor.page.expect_download() as saved:
            menu.get_by_role("button", name=words).first.click()
        name = saved.value.suggested_filename
        files[name.removeprefix("clip.")] = folder / name
        saved.value.save_as(folder / name)
    count = story.frames.shape[0]
    assert VideoClip.open(files["overlay.mp4"]).num_frames == count
    assert files["strip.png"].read_bytes().startswith(b"\x89PNG")
    answer = json.loads(files["answer.json"].read_text())
    assert answer["schema"] == "sama.answer/1"
    assert len(answer["turns"][1]["objects"][0]["rle"]) == count
    coco = json.loads(files["coco.json"].read_text())
    assert len(coco["images"]) == count
    assert decode_mask(coco["annotations"][0]["segmentation"]).any()
    with zipfile.ZipFile(files["masks.zip"]) as pictures:
        assert len(pictures.namelist()) >= len(coco["annotations"])
    menu.get_by_role("button", name="Copy as Python").click()
    visitor.page.get_by_text("is on the clipboard").wait_for()
    script = visitor.page.evaluate("navigator.clipboard.readText()")
    compile(script, "chat.py", "exec")
    assert "Segment the small red square." in script
    visitor.page.keyboard.press("Escape")


def test_reload_goes_on_and_a_lost_session_begins_anew(
    visitor: PageVisitor, clip: Path, story: Story
) -> None:
    visitor.upload(clip)
    visitor.click(centre(story, BLUE))
    visitor.wait_for_regions(1)
    answer = visitor.ask("What is <r1>?")
    visitor.page.evaluate("localStorage.clear()")
    visitor.page.emulate_media(color_scheme="dark")
    visitor.page.reload()
    visitor.wait_for_turns(1)
    assert visitor.page.locator(".answer").inner_text() == answer
    visitor.wait_for_regions(1)
    assert visitor.page.locator("body.dark").count() == 1
    visitor.page.emulate_media(color_scheme="light")
    visitor.ask("What does <r1> do?")
    visitor.expected.add(404)
    session = visitor.page.evaluate("sessionStorage.getItem('sama.session')")
    httpx.delete(f"{visitor.url}/api/sessions/{session}").raise_for_status()
    visitor.page.get_by_role("combobox", name="Question").fill("What is <r1>?")
    visitor.page.keyboard.press("Enter")
    visitor.page.get_by_text("This conversation is closed on the server").wait_for()
    visitor.page.get_by_role("button", name="Begin anew with another video").click()
    visitor.upload(clip)
    assert visitor.page.locator(".turn").count() == 0


def test_markup_in_names_and_questions_is_text(visitor: PageVisitor, clip: Path, story: Story) -> None:
    nasty = "<img src=x onerror=alert(1)>"
    name = f"{nasty}.mp4"
    content = clip.read_bytes()
    visitor.page.set_input_files(
        "input[type=file]", {"name": name, "mimeType": "video/mp4", "buffer": content}
    )
    visitor.wait_for_frame(0)
    assert visitor.page.locator("[data-part=name]").inner_text() == name
    visitor.click(centre(story, BLUE))
    visitor.wait_for_regions(1)
    visitor.expected.add(422)
    field = visitor.page.get_by_role("textbox", name="Name of r1")
    field.fill(nasty)
    field.press("Enter")
    assert nasty in visitor.fault("regionFault")
    assert field.input_value() == "r1"
    visitor.ask(f"{nasty} What is <r1>?")
    assert visitor.page.locator(".question p").inner_text() == f"{nasty} What is r1?"
    assert visitor.page.locator(".talk img").count() == 0


def test_what_cannot_be_used_is_said_where_it_happened(
    visitor: PageVisitor, clip: Path, story: Story
) -> None:
    visitor.expected |= {415, 422}
    visitor.page.set_input_files(
        "input[type=file]", {"name": "a.mp4", "mimeType": "video/mp4", "buffer": b"no video"}
    )
    assert "a.mp4" in visitor.fault("openFault")
    visitor.page.evaluate(DROP, [list(clip.read_bytes()), "dropped.mp4"])
    visitor.wait_for_frame(0)
    assert visitor.page.locator("[data-part=name]").inner_text() == "dropped.mp4"
    visitor.click(centre(story, BLUE), outside=True)
    assert "inside" in visitor.fault("pointFault")
    visitor.page.get_by_text("Box", exact=True).click()
    visitor.click(centre(story, BLUE))
    assert "Drag a box" in visitor.fault("pointFault")
    visitor.page.get_by_role("button", name="Ask", exact=True).click()
    assert "Write a question" in visitor.fault("askFault")
    visitor.page.get_by_role("combobox", name="Question").fill("What is <r9>?")
    visitor.page.keyboard.press("Enter")
    refusal = visitor.page.get_by_role("alert").filter(has_text="<r9>")
    refusal.wait_for()
    refusal.get_by_role("button", name="Edit").click()
    assert visitor.page.get_by_role("combobox", name="Question").input_value() == "What is <r9>?"


DROP = """([bytes, name]) => {
    const data = new DataTransfer();
    data.items.add(new File([new Uint8Array(bytes)], name, {type: "video/mp4"}));
    const drop = new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true});
    document.querySelector(".drop").dispatchEvent(drop);
}"""


def test_waiting_is_shown_and_an_answer_can_be_stopped(visitor: PageVisitor, clip: Path, server: str) -> None:
    visitor.upload(clip)
    long = {"question": "Describe the video with masks."}
    with httpx.Client(base_url=server, timeout=30) as other:
        id_ = other.post(
            "/api/sessions", params={"name": "other.mp4"}, content=clip.read_bytes(), headers=BYTES
        ).json()["id"]
        with other.stream("POST", f"/api/sessions/{id_}/ask", json=long) as answer:
            lines = answer.iter_lines()
            assert next(lines) == "event: queue"
            visitor.page.get_by_role("combobox", name="Question").fill("Where is the green circle?")
            visitor.page.keyboard.press("Enter")
            visitor.page.locator(".turn").get_by_text("Waiting: 1 before you.").wait_for()
            visitor.page.get_by_role("button", name="Stop").click()
            visitor.page.locator(".turn").get_by_text("Stopped. The conversation is as it was").wait_for()
        other.delete(f"/api/sessions/{id_}")
    visitor.page.get_by_role("button", name="Ask again").click()
    visitor.wait_for_turns(1)


BYTES = {"Content-Type": "application/octet-stream"}


def test_what_comes_late_is_passed_over_once_another_video_is_open(
    visitor: PageVisitor, clip: Path, story: Story
) -> None:
    visitor.expected.add(404)
    visitor.upload(clip)
    for thing in (BLUE, YELLOW):  # the second waits for the first
        visitor.click(centre(story, thing))
    visitor.page.locator("[data-part=another]").click()
    visitor.page.locator(".example").first.click()
    visitor.wait_for_frame(0)
    visitor.page.wait_for_function("() => !document.querySelector('.stage[aria-busy]')")
    assert visitor.page.locator(".region").count() == 0
    assert not visitor.page.locator("[data-part=gone]").is_visible()


def test_frame_that_cannot_be_had_is_said_and_asked_for_again(visitor: PageVisitor, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    write_video(film, np.zeros((60, 128, 160, 3), np.uint8), 30.0)
    visitor.upload(film)
    visitor.page.route("**/frames/*", lambda route: route.fulfill(status=503, body="away"))
    visitor.expected.add(503)
    visitor.page.get_by_role("button", name="Play").click()
    assert "cannot be shown" in visitor.fault("stageNote")
    visitor.page.get_by_role("button", name="Play").wait_for()  # it has stopped
    visitor.page.unroute("**/frames/*")
    visitor.page.get_by_role("button", name="Play").click()
    visitor.page.wait_for_function("() => document.querySelector('[data-part=slider]').value > 50")
    visitor.page.get_by_role("button", name="Pause").click()
    assert not visitor.page.locator("[data-part=stageNote]").is_visible()


def test_many_regions_fit(visitor: PageVisitor, clip: Path) -> None:
    visitor.upload(clip)
    session = visitor.page.evaluate("sessionStorage.getItem('sama.session')")
    mask = np.zeros((128, 160), bool)
    mask[:9, :9] = True
    for number in range(64):
        pointed = {"name": f"region_{number}".ljust(40, "x"), "frame": 0, "mask": encode_mask(mask)}
        httpx.post(f"{visitor.url}/api/sessions/{session}/regions", json=pointed).raise_for_status()
    visitor.page.reload()
    visitor.wait_for_regions(64)
    size = visitor.page.viewport_size
    visitor.page.set_viewport_size({"width": 390, "height": 844})
    assert visitor.page.evaluate("document.documentElement.scrollWidth") == 390
    visitor.page.set_viewport_size(size)
    field = visitor.page.get_by_role("combobox", name="Question")
    field.fill("")
    field.press_sequentially("<")
    field.press("ArrowUp")
    assert visitor.page.evaluate(IS_IN_SIGHT), "the last name is scrolled to"
    field.press("Tab")
    assert field.input_value() == f"<{'region_63'.ljust(40, 'x')}>"
    visitor.page.get_by_role("button", name="Delete").last.press("Enter")
    visitor.wait_for_regions(63)
    focused = visitor.page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert focused == f"Delete {'region_62'.ljust(40, 'x')}"


IS_IN_SIGHT = """() => {
    const list = document.querySelector(".suggestions").getBoundingClientRect();
    const row = document.querySelector(".suggestions [aria-selected=true]").getBoundingClientRect();
    return list.top - 1 <= row.top && row.bottom <= list.bottom + 1;
}"""


def test_everything_can_be_done_by_keyboard(visitor: PageVisitor, story: Story) -> None:
    press = visitor.page.keyboard.press
    visitor.page.locator(".example").first.focus()
    press("Enter")
    visitor.wait_for_frame(0)
    assert visitor.page.evaluate("document.activeElement.className") == "stage"
    press("ArrowRight")
    visitor.wait_for_frame(1)
    press("Shift+ArrowRight")
    visitor.wait_for_frame(11)
    press("Home")
    visitor.wait_for_frame(0)
    press("?")
    assert visitor.page.get_by_role("dialog", name="Keys").is_visible()
    press("Escape")
    press("2")
    press("c")
    assert visitor.page.locator("[data-part=crossText]").text_content().startswith("Cross at 80, 64")
    press("Enter")
    for key in ("Shift+ArrowRight", "Shift+ArrowDown"):
        press(key)
    press("Enter")
    visitor.page.wait_for_function(
        "() => document.querySelector('.region') || !document.querySelector('[data-part=pointFault]').hidden"
    )
    press("Escape")
    press(" ")
    visitor.page.get_by_role("button", name="Pause").wait_for()
    press(" ")
    visitor.page.get_by_role("button", name="Play").wait_for()
    press("/")
    visitor.page.keyboard.type("Where is the green circle?")
    press("Enter")
    visitor.wait_for_turns(1)
    assert visitor.page.locator("[data-part=spoken]").text_content().startswith("Answer: ")


def test_phone_shows_the_picture_above_the_answers(
    browser: Any, server: str, clip: Path, story: Story, screenshots: Path | None
) -> None:
    size = {"width": 390, "height": 844}
    someone = PageVisitor(browser, server, viewport=size, has_touch=True, is_mobile=True)
    someone.arrive()
    someone.upload(clip)
    someone.page.touchscreen.tap(*someone.place(centre(story, BLUE)))
    someone.wait_for_regions(1)
    someone.ask("Segment the small red square.")
    assert someone.page.evaluate(FAINT_TEXT) == []
    assert someone.page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    stage, answer = (someone.page.locator(part).bounding_box() for part in (".stage", ".answer"))
    assert 0 <= stage["y"] < answer["y"] < size["height"], "the picture stays in sight of the answer"
    if screenshots:
        someone.page.screenshot(path=screenshots / "page_phone.png")
    someone.leave()
    assert someone.faults == []


def test_the_play_button_keeps_its_colours_under_the_pointer(visitor: PageVisitor, clip: Path) -> None:
    visitor.upload(clip)
    play = visitor.page.locator("[data-part=play]")
    before = play.evaluate(COLOURS)
    play.hover()
    assert play.evaluate(COLOURS) == before


COLOURS = """async (node) => {
    await Promise.allSettled(node.getAnimations().map((change) => change.finished));
    const { backgroundColor, color } = getComputedStyle(node);
    return [backgroundColor, color];
}"""


FAINT_TEXT = """async () => {
    const changes = document.getAnimations().filter((change) => change instanceof CSSTransition);
    await Promise.allSettled(changes.map((change) => change.finished));
    const pen = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
    const paint = (colours) => {
        pen.clearRect(0, 0, 1, 1);
        for (const colour of colours) { pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1); }
        return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
    };
    const light = (rgb) => {
        const [r, g, b] = rgb.map((v) => v / 255).map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const found = [];
    for (const node of document.querySelectorAll(".talk *")) {
        const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
        if (!own || !node.checkVisibility() || node.closest(":disabled, .unseen, canvas, dialog")) continue;
        const behind = [];
        for (let up = node; up; up = up.parentElement) behind.unshift(getComputedStyle(up).backgroundColor);
        const [a, b] = [light(paint(behind)), light(paint([...behind, getComputedStyle(node).color]))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < 4.5) found.push(`${ratio.toFixed(2)}: ${node.outerHTML.slice(0, 120)}`);
    }
    return found;
}"""
"""Visible text whose contrast to what is behind it is below 4.5, as WCAG defines it."""


def test_snippets_of_the_page_run(visitor: PageVisitor, server: str, clip: Path, tmp_path: Path) -> None:
    visitor.page.get_by_role("tab", name="From code").click()
    visitor.page.keyboard.press("?")
    assert not visitor.page.evaluate("document.querySelector('dialog').open"), "unseen, it would bar the page"
    visitor.page.locator(".copy").last.wait_for()
    shown = visitor.page.locator(".sama-code code")
    assert shown.all_text_contents() == [snippet.code.replace(SERVER, server) for snippet in SNIPPETS]
    visitor.page.get_by_role("tab", name="This model").click()
    facts = visitor.page.locator(".sama-facts dl")
    facts.get_by_text("float32").wait_for()
    assert "llava-sama-qwen-tiny" in facts.inner_text()
    visitor.page.get_by_role("tab", name="Talk").click()
    shutil.copy(clip, tmp_path / "clip.mp4")
    for snippet in SNIPPETS:
        if not all(map(is_there, snippet.needs)):
            continue
        command = {"python": [sys.executable, "-c"], "bash": ["bash", "-ec"]}[snippet.language]
        done = subprocess.run(
            [*command, snippet.code.replace(SERVER, server)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            check=False,
            env=os.environ,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip(), snippet.title
        assert '"error"' not in done.stdout


def is_there(name: str) -> bool:
    """Whether a module or a command can be had."""
    return find_spec(name) is not None or shutil.which(name) is not None


def test_masks_are_read_as_pycocotools_reads_them(visitor: PageVisitor) -> None:
    noise = np.random.default_rng(0).random((5, 30, 40)) < np.array([0.0, 0.02, 0.3, 0.9, 1.0])[:, None, None]
    masks = [*noise, np.eye(9, dtype=bool)]
    found = visitor.page.evaluate(MEASURE, [encode_mask(mask) for mask in masks])
    for mask, (box, area) in zip(masks, found, strict=True):
        assert area == mask.sum(), "the area within the outline"
        if mask.any():
            x0, y0, x1, y1 = box_of_mask(mask)
            assert box == {"area": mask.sum(), "x0": x0, "y0": y0, "x1": x1, "y1": y1}
        else:
            assert box is None


MEASURE = """async (masks) => {
    const { measureMask } = await import("/static/sama/rle.js");
    const { outlineOf } = await import("/static/sama/outline.js");
    const areaOf = (polygon) => {
        let twice = 0;
        for (let i = 0; i < polygon.length; i += 2) {
            const [x, y, nextX, nextY] = [0, 1, 2, 3].map((k) => polygon[(i + k) % polygon.length]);
            twice += x * nextY - nextX * y;
        }
        return twice / 2;
    };
    return masks.map((mask) => [measureMask(mask), outlineOf(mask).reduce((sum, part) => sum + areaOf(part), 0)]);
}"""


def test_places_of_phrases_count_characters(visitor: PageVisitor) -> None:
    shown = visitor.page.evaluate(
        """async () => {
            const { answerNodes } = await import("/static/sama/answer_text.js");
            const nodes = answerNodes("😀😀 a dog, two cats", [
                {id: "obj1", start: 5, end: 8}, {id: "obj2", start: 10, end: 18}, {id: "obj3", start: 10, end: 18},
            ], (group) => Object.assign(document.createElement("a"), {id: group.map((thing) => thing.id).join()}));
            return nodes.map((node) => (node.id ? `[${node.id} ${node.textContent}]` : node)).join("|");
        }"""
    )
    assert shown == "😀😀 a |[obj1 dog]|, |[obj2,obj3 two cats]|"
