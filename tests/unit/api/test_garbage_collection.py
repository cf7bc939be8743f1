"""Garbage collection: only an application that owns its process freezes the objects there."""

import gc

import pytest

from api import main
from api.main import create_app
from api.settings import ApiSettings


@pytest.mark.parametrize("owns_process", [True, False])
async def test_only_an_application_that_owns_its_process_freezes_its_objects(
    serve, fake_redis, monkeypatch, owns_process
):
    calls = []
    monkeypatch.setattr(gc, "freeze", lambda: calls.append("freeze"))
    app = create_app(ApiSettings(), redis=fake_redis, owns_process=owns_process)
    await serve(fake_redis, app=app)
    assert calls == ["freeze"] * owns_process


def test_the_application_that_a_server_loads_owns_its_process(monkeypatch):
    monkeypatch.setattr(main, "create_app", lambda **options: options)
    try:
        assert main.app == {"owns_process": True}
    finally:
        vars(main).pop("app", None)


async def test_an_application_among_others_freezes_nothing_by_default(serve, fake_redis):
    before = gc.get_freeze_count()
    await serve(fake_redis)
    assert gc.get_freeze_count() <= before  # frozen objects may end
