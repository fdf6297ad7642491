"""Sessions as several servers of one grid know them, and what a browser is told to keep."""

from __future__ import annotations

import asyncio
import io
import os
from pathlib import Path

import pytest

from wasmgrid.core.errors import Unauthorized
from wasmgrid.server.dashboard import sessions
from wasmgrid.server.dashboard.announcing import announcement, is_watched
from wasmgrid.server.dashboard.assets import Assets
from wasmgrid.server.dashboard.sessions import Sessions
from wasmgrid.store import Store

TOKEN = "the-token-of-this-grid"


def test_any_server_takes_a_link_and_a_session_of_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "HEEDED_S", 0.0)

    async def story() -> None:
        store = await Store.open(tmp_path)
        one, other = Sessions(store, TOKEN), Sessions(store, TOKEN)
        secret = await other.open(code=(code := await one.link()))
        cookie = one.cookie(secret, secure=True).partition(";")[0]
        assert await one.holds(cookie)
        assert await other.holds(f"theme=dark; {cookie}")
        with pytest.raises(Unauthorized, match="used before"):
            await one.open(code=code)
        await other.close(cookie)
        assert not await one.holds(cookie)
        assert not await one.holds("")
        assert not await one.holds(f"{one.cookie_name}=;;=\x00")
        await store.close()

    asyncio.run(story())


def test_a_session_that_ended_elsewhere_is_heeded_for_moments_only(tmp_path: Path) -> None:
    async def story() -> None:
        store = await Store.open(tmp_path)
        one, other = Sessions(store, TOKEN), Sessions(store, TOKEN)
        cookie = one.cookie(await one.open(token=TOKEN), secure=False)
        assert await one.holds(cookie)
        await other.close_all()
        one._known = {digest: until - sessions.HEEDED_S for digest, until in one._known.items()}  # so much later
        assert not await one.holds(cookie)
        await store.close()

    asyncio.run(story())


def test_cookies_of_grids_on_one_machine_do_not_replace_each_other(tmp_path: Path) -> None:
    async def story() -> None:
        store = await Store.open(tmp_path)
        one, other = Sessions(store, TOKEN), Sessions(store, "another-grids-token")
        assert one.cookie_name != other.cookie_name
        assert TOKEN not in one.cookie("secret", secure=True)
        assert one.cookie("secret", secure=True).endswith("; Secure")
        assert "HttpOnly; SameSite=Strict" in one.cookie("secret", secure=False)
        assert "Max-Age=0" in one.cookie("", secure=False)
        await store.close()

    asyncio.run(story())


def test_a_link_is_printed_to_who_looks_on_and_into_no_file(tmp_path: Path) -> None:
    async def story() -> None:
        store = await Store.open(tmp_path)
        ours = Sessions(store, TOKEN)
        with (tmp_path / "up.log").open("w") as file:
            assert await announcement(ours, "http://127.0.0.1:3030", file) is None
        read, write = os.pipe()
        with os.fdopen(read), os.fdopen(write, "w") as pipe:
            line = await announcement(ours, "http://127.0.0.1:3030", pipe)
        assert line is not None
        code = line.partition("/sign-in#")[2].split()[0]
        assert await ours.open(code=code)
        await store.close()

    asyncio.run(story())
    assert not is_watched(io.StringIO())


def test_what_is_vendored_is_what_its_readme_says() -> None:
    import hashlib

    files = Assets().files
    readme = files["vendor/README.md"].body.decode()
    vendored = [name for name in files if name.startswith("vendor/") and not name.endswith((".md", ".txt"))]
    assert len(vendored) == 6
    for name in vendored:
        digest = hashlib.sha256(files[name].body).hexdigest()
        assert f"| `{name.removeprefix('vendor/')}` |" in readme
        assert digest in readme, f"{name} is not the file that vendor/README.md names"


def test_no_page_has_anything_inline_or_from_elsewhere() -> None:
    files = Assets().files
    page = Assets().page("NONCE").decode()
    assert "<style" not in page
    assert "onclick" not in page
    assert page.count("<script ") == page.count('<script src="/assets/') + page.count(
        '<script type="module" src="/assets/'
    )
    own = {name: asset.body.decode() for name, asset in files.items() if name.startswith(("js/", "css/"))}
    for name, text in own.items():
        assert "dangerouslySetInnerHTML" not in text, name
        assert "innerHTML" not in text, name
        assert "https://" not in text.replace("http://www.w3.org", ""), name
