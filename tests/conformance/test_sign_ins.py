"""Browsers that are signed in: a link is exchanged once, whoever asks; a session ends by its time or by a word."""

from __future__ import annotations

import asyncio

from tests.conformance.samples import Adapter

from wasmgrid.store import Store
from wasmgrid.store.sign_ins import LINK, SESSION

LINK_OF, FIRST, SECOND = "a" * 64, "b" * 64, "c" * 64


def test_a_link_gives_one_session_of_all_that_are_asked_for_at_once(adapter: Adapter) -> None:
    async def story(store: Store) -> None:
        await store.add_sign_in(LINK_OF, LINK, 60)
        assert not await store.is_session(LINK_OF)
        sessions = [f"{number:064x}" for number in range(10)]
        given = await asyncio.gather(*(store.exchange_sign_in(LINK_OF, session, 60) for session in sessions))
        assert sum(given) == 1
        assert [await store.is_session(session) for session in sessions] == given

    adapter.run(story)


def test_what_is_over_is_none_and_goes(adapter: Adapter) -> None:
    async def story(store: Store) -> None:
        await store.add_sign_in(LINK_OF, LINK, -1)
        assert not await store.exchange_sign_in(LINK_OF, FIRST, 60)
        await store.add_sign_in(FIRST, SESSION, -1)
        assert not await store.is_session(FIRST)
        assert not await store.exchange_sign_in(FIRST, SECOND, 60)
        await store.add_sign_in(SECOND, SESSION, 60)
        assert await store.remove_sign_ins() == 1  # the others went when it came

    adapter.run(story)


def test_one_session_or_all_are_ended(adapter: Adapter) -> None:
    async def story(store: Store) -> None:
        for session in (FIRST, SECOND):
            await store.add_sign_in(session, SESSION, 60)
        await store.remove_sign_in(FIRST)
        assert [await store.is_session(each) for each in (FIRST, SECOND)] == [False, True]
        await store.add_sign_in(LINK_OF, LINK, 60)
        assert await store.remove_sign_ins() == 2
        assert not await store.is_session(SECOND)
        assert not await store.exchange_sign_in(LINK_OF, FIRST, 60)

    adapter.run(story)
