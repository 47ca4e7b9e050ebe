"""The page of the server: Gradio gives frame, theme and tabs; the stage and the conversation are our own modules.

Gradio has no canvas to point on, no masks in step with a video and no linked phrases, so the tab "Talk" is one part
filled by `static/app.js`, which speaks to `/api` only. No Gradio event is used: nothing but its files is served by it.
"""

from __future__ import annotations

import os
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from starlette.responses import Response
from starlette.types import Scope

from sama_plugin.data.report_page import format_table
from sama_plugin.demo.code_snippets import SNIPPETS
from sama_plugin.demo.limits import Limits
from sama_plugin.errors import DataError
from sama_plugin.evaluation.results import Results, read_results

if TYPE_CHECKING:
    import gradio

STATIC = Path(__file__).parent / "static"
PATH = "/static/sama"
"""Of our files on the server; `/static` itself is Gradio's."""

STYLES = ("page.css", "stage.css", "conversation.css")
RESULTS_FILE = "results.json"
"""In a checkpoint's folder, if somebody measured it there."""

FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "sans-serif")
CODE_FONTS = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")

START = """
import(new URL("static/sama/{module}", document.baseURI)).then(
    (page) => page.begin(element),
    (error) => (element.textContent = `The page's scripts cannot be loaded (${{error.message}}). Reload the page.`),
);
"""


class StaticFolder(StaticFiles):
    """Our files; a browser asks each time whether they have changed, so that an update is seen at once."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """One file."""
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        return response


def mount_page(app: FastAPI, folder: Path, limits: Limits) -> FastAPI:
    """Serve the page at `/` and its files at `/static/sama`. Comes last: the page answers to every path that is left.

    Args:
        app: has the routes of `/api` already.
        folder: of the checkpoint; a `results.json` in it is shown.
        limits: on what visitors may have, shown too.
    """
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read at import; it would call home
    import gradio

    app.mount(PATH, StaticFolder(directory=STATIC), name="page")
    return gradio.mount_gradio_app(
        app,
        build_page(folder, limits),
        path="/",
        footer_links=[],
        show_error=False,
        theme=_theme(),
        head="".join(f'<link rel="stylesheet" href="{PATH[1:]}/{style}">' for style in STYLES),
        ssr_mode=False,
    )


def build_page(folder: Path, limits: Limits) -> gradio.Blocks:
    """The page as Gradio's Blocks; arguments as for `mount_page`."""
    import gradio

    with gradio.Blocks(title="SAMA", analytics_enabled=False, fill_width=True) as page:
        gradio.HTML(_read("head.html"), js_on_load=START.format(module="theme.js"), apply_default_css=False)
        with gradio.Tabs():
            with gradio.Tab("Talk"):
                gradio.HTML(
                    _read("talk.html"), js_on_load=START.format(module="app.js"), apply_default_css=False
                )
            with gradio.Tab("From code"):
                gradio.HTML(_code_page(), js_on_load=START.format(module="code.js"))
            with gradio.Tab("This model"):
                gradio.HTML(_model_page(folder, limits), js_on_load=START.format(module="model.js"))
    return page


def _theme() -> gradio.themes.Base:
    """Gradio's plain theme with the fonts of the visitor's system: none is fetched."""
    import gradio

    return gradio.themes.Base(primary_hue="indigo", neutral_hue="slate", font=FONTS, font_mono=CODE_FONTS)


def _read(name: str) -> str:
    return (STATIC / name).read_text("utf-8")


def _code_page() -> str:
    """How programs do what the page does."""
    parts = [
        f"<h3>{escape(snippet.title)}</h3><p>{escape(snippet.about)} Needs {escape(', '.join(snippet.needs))}.</p>"
        f'<pre tabindex="0"><code data-language="{snippet.language}">{escape(snippet.code)}</code></pre>'
        for snippet in SNIPPETS
    ]
    return f'<div class="sama-code">{"".join(parts)}</div>'


def _model_page(folder: Path, limits: Limits) -> str:
    """What the server says of itself (filled in by `model.js`), its limits, and what was measured of its model."""
    meanings = Limits.meanings()
    bounds = format_table(
        ("limit", "at most"), [(meanings[name], f"{most:,.10g}") for name, most in limits.as_dict().items()]
    )
    return (
        '<div class="sama-facts"><h3>Model</h3><dl data-part="facts"></dl>'
        f"<h3>Measured</h3>{_results(folder)}<h3>Limits of this server</h3>{bounds}</div>"
    )


def _results(folder: Path) -> str:
    """The numbers of the checkpoint's results file, or how to make one."""
    path = folder / RESULTS_FILE
    if not path.is_file():
        return (
            f"<p>No numbers are kept with this checkpoint. <code>sama eval shapes --data DIR --out OUT</code> measures "
            f"it; a <code>{RESULTS_FILE}</code> in the checkpoint's folder is shown here.</p>"
        )
    try:
        results = read_results(path)
    except DataError as error:
        return f"<p>{escape(str(error))}</p>"
    return _results_table(results)


def _results_table(results: Results) -> str:
    rows = [
        (name, "-" if value is None else f"{value:.3f}", results.counts.get(name, ""))
        for name, value in results.metrics.items()
        if "/" not in name
    ]
    return (
        f"<p>Benchmark {escape(results.benchmark)}, by version {escape(str(results.code.get('version')))}.</p>"
        + format_table(("metric", "value", "cases"), rows)
    )
