"""The files of the dashboard: served without a key, under a policy that lets nothing else run."""

import re

import pytest

from api.routes.dashboard import page_files
from tests.unit.api.callers import KEYS

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


async def test_the_page_runs_its_own_scripts_alone(client):
    page = await client.get("/ui/")
    policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["trusted-types"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers.get_list("x-content-type-options") == ["nosniff"]
    assert not re.search(r"<script>|<style|\son\w+=|\sstyle=", page.text)


async def test_everything_that_the_page_names_is_there_and_of_this_server(client):
    page = await client.get("/ui/")
    named = set(re.findall(r'(?:href|src)="([^"#]+)', page.text))
    assert "main.js" in named
    for path in named:
        answer = await client.get(f"/ui/{path}")
        assert (answer.status_code, path) == (200, path)


def test_no_module_makes_markup_or_names_another_server():
    scripts = {path: file.content.decode() for path, file in page_files().items() if path.endswith(".js")}
    assert len(scripts) > 8
    for path, text in scripts.items():
        found = re.findall(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", text
        )
        assert (path, found) == (path, [])
        addresses = set(re.findall(r"https?://[\w.-]+", text)) - {"http://www.w3.org", "https://example.com"}
        assert (path, addresses) == (path, set())


def test_every_module_that_is_imported_is_there():
    for path, file in page_files().items():
        folder = path.rpartition("/")[0]
        for name in re.findall(r"""(?:from|import\(|module:) ?["'](\.[^"']+)""", file.content.decode()):
            wanted = name.removeprefix("./") if not folder else name
            wanted = (
                wanted.removeprefix("../") if wanted.startswith("../") else f"{folder}/{wanted}".lstrip("/")
            )
            assert wanted.replace("/./", "/") in page_files(), f"{path} imports {name}"


async def test_a_browser_keeps_the_files_but_asks_whether_they_changed(client):
    answer = await client.get("/ui/style.css")
    assert answer.headers.get_list("cache-control") == ["no-cache"]
    assert answer.headers["content-encoding"] == "gzip"
    again = await client.get("/ui/style.css", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == answer.headers["etag"]


@pytest.mark.parametrize("path", ["x.js", "../main.py", "%2e%2e/main.py", "views", "views/", "index.html/"])
async def test_other_paths_are_not_there(client, path):
    answer = await client.get(f"/ui/{path}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_the_root_leads_browsers_to_the_page_and_others_to_the_api(client):
    shown = await client.get("/", headers=HTML)
    assert (shown.status_code, shown.headers["location"]) == (307, "ui/")
    assert (await client.get("/ui")).headers["location"] == "ui/"
    links = (await client.get("/")).json()
    assert links["dashboard"] == "/ui/"
    for path in links.values():
        if path != "/v1":
            assert (await client.get(path)).status_code in (200, 503)


async def test_the_dashboard_can_be_left_out(serve, fake_redis):
    client = await serve(fake_redis, api_dashboard="off")
    assert (await client.get("/ui/")).status_code == 404
    root = await client.get("/", headers=HTML)
    assert root.status_code == 200
    assert "dashboard" not in root.json()


async def test_the_files_need_no_key_and_the_data_does(serve, fake_redis):
    closed = await serve(fake_redis, api_keys=KEYS)
    assert (await closed.get("/ui/")).status_code == 200
    assert (await closed.get("/ui/main.js")).status_code == 200
    assert (await closed.get("/v1/server/info")).status_code == 401


async def test_head_answers_as_get_without_a_body(client):
    head = await client.head("/ui/main.js")
    assert head.status_code == 200
    assert head.headers["content-type"] == "text/javascript; charset=utf-8"
