"""The reference at /docs runs nothing but its own scripts, and can be left out."""

import gc
import re
import weakref
from base64 import b64encode
from hashlib import sha256

import pytest
from httpx import ASGITransport, AsyncClient

from api.main import create_app
from api.settings import ApiSettings


async def test_the_policy_allows_the_inline_script_of_the_page_and_no_other(client):
    page = await client.get("/docs")
    policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
    (script,) = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    digest = b64encode(sha256(script.encode()).digest()).decode()
    assert policy["script-src"] == f"'self' 'sha256-{digest}'"
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert page.headers["x-frame-options"] == "DENY"


async def test_a_browser_keeps_the_assets_but_asks_whether_they_changed(client):
    answer = await client.get("/static-offline-docs/swagger-ui.css")
    assert answer.headers.get_list("cache-control") == ["no-cache"]
    again = await client.get(
        "/static-offline-docs/swagger-ui.css", headers={"If-None-Match": answer.headers["etag"]}
    )
    assert again.status_code == 304


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/static-offline-docs/swagger-ui.css"])
@pytest.mark.parametrize(("docs", "status"), [("on", 200), ("off", 404)])
async def test_the_reference_can_be_left_out(serve, fake_redis, path, docs, status):
    client = await serve(fake_redis, api_docs=docs)
    assert (await client.get(path)).status_code == status
    assert (await client.get("/job-types")).status_code == 200


async def test_an_application_that_served_its_reference_is_freed_with_its_last_user(fake_redis):
    app = create_app(ApiSettings(), redis=fake_redis)
    client = AsyncClient(transport=ASGITransport(app), base_url="http://jobs.localhost")
    async with app.router.lifespan_context(app), client:
        assert (await client.get("/docs")).status_code == 200
    freed = weakref.ref(app)
    del app, client
    gc.collect()
    assert freed() is None
