"""Someone at the page: drives Chromium, and notes every fault the browser sees."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

WAIT_MS = 30_000
"""A turn with masks takes seconds on one core."""


class PageVisitor:
    """One tab in a browser of its own.

    Args:
        browser: playwright's Chromium.
        url: of the server.
        options: of the browser's context, such as its viewport.

    Attributes:
        page: playwright's.
        faults: console errors, exceptions, failed and foreign requests, refusals that were not `expected`.
        expected: statuses of refusals that a test provokes.
    """

    def __init__(self, browser: Any, url: str, **options: Any):
        self.url = url
        self.context = browser.new_context(**{"viewport": {"width": 1360, "height": 860}, **options})
        self.context.set_default_timeout(WAIT_MS)
        self.page = self.context.new_page()
        self.faults: list[str] = []
        self.expected: set[int] = set()
        self._watch()

    def _watch(self) -> None:
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.faults.append(f"exception: {error}"))
        self.page.on("requestfailed", self._see_failed)
        self.page.on("response", self._see_response)
        self.page.on("request", self._see_request)

    def _hear(self, message: Any) -> None:
        is_refusal = "Failed to load resource" in message.text  # `_see_response` judges those
        if message.type == "error" and not is_refusal:
            self.faults.append(f"console: {message.text}")

    def _see_failed(self, request: Any) -> None:
        is_given_up = "/frames/" in request.url or "/ask" in request.url or request.url.endswith("/close")
        if not (is_given_up and request.failure == "net::ERR_ABORTED"):
            self.faults.append(f"failed: {request.url} {request.failure}")

    def _see_response(self, response: Any) -> None:
        if response.status >= 400 and response.status not in self.expected:
            self.faults.append(f"{response.status}: {response.url}")

    def _see_request(self, request: Any) -> None:
        if not request.url.startswith((self.url, "data:", "blob:")):
            self.faults.append(f"foreign: {request.url}")

    def arrive(self) -> None:
        """Open the page; it is ready to take a video."""
        self.page.goto(self.url)
        self.page.wait_for_selector(".example")

    def begin_anew(self) -> None:
        """Close the video that is open, if one is, and forget what a test expected."""
        self.faults.clear()
        self.expected.clear()
        another = self.page.locator("[data-part=another]")
        while another.is_visible():
            another.click()  # it asks back once, where there is a conversation
        self.page.locator(".example").first.wait_for()
        self.page.mouse.move(0, 0)

    def upload(self, path: Path) -> None:
        """Choose a video, and wait until its first frame is shown."""
        self.page.set_input_files("input[type=file]", path)
        self.wait_for_frame(0)
        self.page.get_by_text("Point", exact=True).click()

    def wait_for_frame(self, frame: int) -> None:
        """Wait until a frame is drawn; its text alternative says so."""
        self.page.wait_for_function(
            "frame => document.querySelector('#sama-stage-text').textContent.startsWith(`Frame ${frame} `)",
            arg=frame,
        )

    def go_to(self, frame: int) -> None:
        """Move the slider to a frame."""
        self.page.get_by_role("slider", name="Frame").fill(str(frame))
        self.wait_for_frame(frame)

    def place(self, xy: tuple[float, float]) -> tuple[float, float]:
        """Where a pixel of the video lies in the window."""
        canvas = self.page.locator("canvas")
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        video = canvas.evaluate(
            "canvas => getComputedStyle(canvas.parentElement).getPropertyValue('--ratio')"
        )
        width = VIDEO_HEIGHT * float(video)
        return box["x"] + xy[0] / width * box["width"], box["y"] + xy[1] / VIDEO_HEIGHT * box["height"]

    def click(self, xy: tuple[float, float], *, outside: bool = False) -> None:
        """Click a pixel of the video."""
        if outside:
            self.page.keyboard.down("Shift")
        self.page.mouse.click(*self.place(xy))
        if outside:
            self.page.keyboard.up("Shift")

    def drag(self, *places: tuple[float, float]) -> None:
        """Drag over pixels of the video."""
        first, *others = (self.place(xy) for xy in places)
        self.page.mouse.move(*first)
        self.page.mouse.down()
        for place in others:
            self.page.mouse.move(*place, steps=4)
        self.page.mouse.up()

    def wait_for_regions(self, count: int) -> None:
        """Wait until so many regions are listed and SAM2 rests."""
        self.page.wait_for_function(
            """count => document.querySelectorAll(".region").length === count
                && !document.querySelector(".stage[aria-busy]")""",
            arg=count,
        )

    def ask(self, question: str | None = None) -> str:
        """Ask what is in the field, or this; give the answer's text."""
        field = self.page.get_by_role("combobox", name="Question")
        if question is not None:
            field.fill(question)
        number = self.page.locator(".turn").count() + 1
        field.press("Enter")
        self.wait_for_turns(number)
        return str(self.page.locator(".answer").last.inner_text())

    def wait_for_turns(self, count: int) -> None:
        """Wait until so many questions are answered."""
        self.page.wait_for_function(
            "count => document.querySelectorAll('.turn [aria-label^=Edit]').length === count", arg=count
        )

    def colour_at(self, xy: tuple[float, float]) -> np.ndarray:
        """(3,) int; the colour of the stage at a pixel of the video."""
        script = """(canvas, [x, y]) => [...canvas.getContext("2d").getImageData(
            x * canvas.width / VIDEO_WIDTH, y * canvas.height / VIDEO_HEIGHT, 1, 1).data].slice(0, 3)"""
        ratio = self.page.locator(".stage").evaluate("stage => stage.style.getPropertyValue('--ratio')")
        script = script.replace("VIDEO_WIDTH", str(VIDEO_HEIGHT * float(ratio))).replace(
            "VIDEO_HEIGHT", str(VIDEO_HEIGHT)
        )
        self.page.evaluate(
            "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )
        return np.array(self.page.locator("canvas").evaluate(script, list(xy)))

    def fault(self, part: str) -> str:
        """Words of a complaint, once it is there."""
        place = self.page.locator(f"[data-part={part}]")
        place.wait_for()
        return re.sub(r"\s+", " ", place.inner_text())

    def leave(self) -> None:
        """Close the tab, and the browser of this visitor."""
        self.context.close()


VIDEO_HEIGHT = 128
"""Of the small world's videos, pixels."""
