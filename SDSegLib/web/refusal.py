"""A small page for those who may not come in."""

from __future__ import annotations

from html import escape

from aiohttp import web

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>SDSeg</title>
<style>
html{{color-scheme:dark;background:#0f1318;color:#d5dce4;font:16px/1.5 system-ui,sans-serif}}
main{{max-width:30rem;margin:20vh auto;padding:0 1.5rem}}
h1{{font-size:1.25rem;font-weight:600;color:#fff}}
</style><main><h1>{title}</h1><p>{text}</p></main></html>"""


def refusal(status: int, title: str, text: str) -> web.Response:
    """A response that says in words why and what to do."""
    page = _PAGE.format(title=escape(title), text=escape(text))
    return web.Response(status=status, text=page, content_type="text/html")
