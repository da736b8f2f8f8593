"""Who is let in: where the server listens, and the key (docs/security.md, S1 to S8)."""

from __future__ import annotations

import base64
import hmac
import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from patience import SECONDS

from run_agent.cli.main import main
from run_agent.server import create_app, runner
from run_agent.server.middleware import access

LIST = "/api/v1/messages?project_id=demo"
OPEN = ("/healthz", "/api/v1/health")
OF_THE_PAGE = ("/", "/page/{name:path}", "/api/v1/session")  # see test_login.py
EVERYWHERE = "0.0.0.0"  # noqa: S104 - what must not be listened to


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """``run-agent serve`` in this process, up to where it would listen: 0 if it gets there."""
    listening = []
    monkeypatch.delenv("RUN_AGENT_API_KEY", raising=False)
    monkeypatch.setattr(runner, "listen", lambda host, _port: listening.append(host) or socket.socket())
    monkeypatch.setattr(runner, "address_of", lambda _listener: "http://nowhere")
    monkeypatch.setattr(runner, "run", lambda _app, listener, **_options: listener.close() or 0)

    def run(*args: object, **environment: str) -> int:
        listening.clear()
        with monkeypatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            code = main(["serve", "--root", str(tmp_path / "runs"), *map(str, args)])
        assert (code == 0) == bool(listening)
        return code

    return run


def test_only_loopback_by_default(serve: Callable[..., Any]) -> None:
    server = serve(RUN_AGENT_API_KEY="")
    assert server.url.startswith("http://127.0.0.1:")
    assert server.client.get("/healthz").status_code == 200
    with socket.socket() as other:
        other.settimeout(SECONDS)
        assert other.connect_ex(("127.0.0.2", int(server.port))) != 0  # what listens to all addresses would answer


def test_other_machines_need_a_key(start: Callable[..., int], key: str, capsys: pytest.CaptureFixture[str]) -> None:
    others = (EVERYWHERE, "::", "", "0", "127.0.0.2", "127.1", "::ffff:127.0.0.1", "192.0.2.1", "bus.example", "*")
    for host in others:
        for empty in ("", "  ", "\t"):
            assert start("--host", host, RUN_AGENT_API_KEY=empty) == 2, host
            assert "needs an API key" in capsys.readouterr().err
        assert start("--host", host, RUN_AGENT_API_KEY=key) == 0, host
    for host in ("127.0.0.1", "::1", "localhost"):
        assert start("--host", host) == 0, host


def test_unsafe_key_files_are_refused(
    start: Callable[..., int], tmp_path: Path, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "key"
    file.write_text(f"  {key}\n")
    link = tmp_path / "link"
    link.symlink_to(file)
    for mode in (0o644, 0o640, 0o604, 0o660, 0o610, 0o601, 0o777):
        file.chmod(mode)
        for path in (file, link):  # for a link, the mode of its target counts
            assert start("--api-key-file", path, RUN_AGENT_API_KEY=key) == 2, oct(mode)
            assert "chmod 600" in capsys.readouterr().err
    file.chmod(0o600)
    for path in (file, link):
        assert start("--host", EVERYWHERE, "--api-key-file", path) == 0
    for content in (b"", b" \n\t\n", b"\xff\xfe", b"two words", b"two\nlines", b"nul\0", "schlüssel".encode()):
        file.write_bytes(content)
        assert start("--api-key-file", file, RUN_AGENT_API_KEY=key) == 2, content
    for path in (tmp_path / "missing", tmp_path, file / "below"):
        assert start("--api-key-file", path, RUN_AGENT_API_KEY=key) == 2, path
    said = capsys.readouterr()
    assert key not in said.out + said.err
    assert "Traceback" not in said.err


def test_every_request_needs_the_key(
    serving: Callable[..., Any], client: Callable[..., Any], bus: object, key: str, untouched: Callable[[], None]
) -> None:
    attacker = client(serving(api_key=key))
    untouched()
    paths = [route.path for route in create_app("runs").routes if route.path not in OF_THE_PAGE]
    targets = [path.format(project_id="demo", task_id="t", msg_id="x") for path in paths]
    targets += [
        "/pages/x",
        "/page",
        "/docs",
        "/unknown",
        "/healthz/",
        "/healthz/x",
        "//healthz",
        "/api/v1/health/../projects",
        LIST,
    ]
    closed = [target for target in targets if target not in OPEN]
    assert len(closed) > 12
    for target in closed:
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW"):
            answer = attacker.ask(target, "Content-Type: application/json", method=method, body=b'{"body": "x"}')
            assert answer.status in (400, 401), (method, target)  # 400: a path with two dots
    assert [attacker.ask(target).json for target in OPEN] == [{"status": "ok"}] * 2
    assert attacker.ask(LIST).headers["www-authenticate"] == "Bearer"


def test_only_the_key_is_accepted(serving: Callable[..., Any], client: Callable[..., Any], key: str) -> None:
    attacker = client(serving(api_key=key))
    others = ["", " ", key[:-1], key + "x", key.upper(), f"{key} {key}", f'"{key}"', f"{key},x", key[::-1], "None"]
    others += ["\xff\xfe", key.replace("e", "\xe9"), key.replace("-", "%2d"), "x" * 8000, "\x01", "\t"]
    basic = base64.b64encode(f"user:{key}".encode()).decode()
    wrong = [[f"Authorization: Bearer {other}"] for other in others]
    wrong += [[f"X-API-Key: {other}"] for other in others]
    wrong += [[f"{name}: {key}"] for name in ("Authorization", "Cookie", "X-API", "API-Key", "Proxy-Authorization")]
    wrong += [[f"Authorization: {scheme} {key}"] for scheme in ("Basic", "Digest", "Token", "Bearer:", "Bear")]
    wrong += [[f"Authorization: Basic {basic}"], [f"Authorization: Bearer{key}"], [f"X-API-Key: Bearer {key}"]]
    wrong += [["X-API-Key: x", "X-API-Key: y"], ["Authorization: Bearer x", "X-API-Key: y"], []]
    for headers in wrong:
        assert attacker.ask(LIST, *headers).status in (400, 401), headers  # 400: a character no header may hold
    assert attacker.ask(f"{LIST}&api_key={key}&key={key}&token={key}").status == 401
    for headers in (f"Authorization: Bearer {key}", f"authorization: bEARER  {key}", f"x-api-key: {key}"):
        assert attacker.ask(LIST, headers).status == 200, headers


def test_keys_are_compared_in_constant_time(
    serving: Callable[..., Any], client: Callable[..., Any], key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``compare_digest`` decides, which takes constant time for inputs of equal length; and these are."""
    attacker = client(serving(api_key=key))
    compared: list[tuple[int, int, bool]] = []

    def comparing(*, verdict: bool) -> SimpleNamespace:
        def compare(given: bytes, right: bytes) -> bool:
            compared.append((len(given), len(right), hmac.compare_digest(given, right)))
            return verdict

        return SimpleNamespace(compare_digest=compare)

    given = ["", "c", key[:-1], key, key + "x" * 5000]
    for verdict, status in ((True, 200), (False, 401)):
        compared.clear()
        monkeypatch.setattr(access, "hmac", comparing(verdict=verdict))
        assert [attacker.ask(LIST, f"X-API-Key: {one}").status for one in given] == [status] * len(given)
        assert len({pair[:2] for pair in compared}) == 1
        assert compared[0][0] == compared[0][1]
        assert [is_right for _, _, is_right in compared] == [one == key for one in given]


@pytest.mark.parametrize("form", [(), ("--log-json",)], ids=["text", "json"])
def test_the_key_is_never_disclosed(
    form: tuple[str, ...], serve: Callable[..., Any], client: Callable[..., Any], tmp_path: Path, root: Path, key: str
) -> None:
    file = tmp_path / "key"
    file.touch(0o600)
    file.write_text(key)
    server = serve("--api-key-file", str(file), *form)
    attacker = client(server)
    (root / "link").mkdir(parents=True)
    (root / "link/PROJECT-MESSAGE-BUS.md").symlink_to(tmp_path / "elsewhere")
    said = [server.greeting]
    for headers in ([f"X-API-Key: {key}"], [f"Authorization: Bearer {key}"], [f"Authorization: Basic {key}"]):
        targets = LIST, f"{LIST}&since={key}", "/api/projects/link/messages", "/unknown", "/api/projects/../x"
        said += [attacker.ask(target, *headers).said() for target in targets]
        said.append(attacker.post("/api/projects/demo/messages", {"body": ""}, *headers).said())
        said.append(attacker.post("/api/projects/demo/messages", {"body": "said"}, *headers).said())
    said.append(attacker.ask(LIST, f"X-API-Key: {key}", f"X-API-Key: {key}", host="evil.example").said())
    said.append(attacker.send(f"GET {LIST} HTTP/1.1\r\nX-API-Key: {key}\r\nbroken\r\n\r\n".encode()).said())
    server.kill(15)
    log = "\n".join(server.log())
    assert log.count("POST /api/projects/demo/messages") == 6
    assert key not in log + "".join(said)
    assert key not in " ".join(path.name for path in root.rglob("*"))


def test_unsafe_options_are_refused(start: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    for nothing in ("", " ", "\n", "two words", "ключ", "tab\t", "nul\0"):
        with pytest.raises(ValueError, match="API key"):
            create_app("runs", api_key=nothing)
    for page in ("*", "null", "", "page.example", "https://page.example/", "https://*.example", "https://", "//x"):
        with pytest.raises(ValueError, match="origin"):
            create_app("runs", allowed_origins=["https://page.example", page])
        assert start("--allow-origin", page) == 2
        assert "origin" in capsys.readouterr().err
    assert start("--allow-origin", "https://page.example", "--allow-origin", "http://localhost:3000") == 0
