from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ns_talking.process.models import MODELS, find_model, installed_model
from ns_talking.utils.model_files import ModelFile, cache_folder

CONTENT = bytes(range(256)) * 4000


class Server(BaseHTTPRequestHandler):
    """Serves the content with ranges; breaks off after `limit` bytes."""

    limit: int | None = None
    asked: list[str | None] = []

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        Server.asked.append(wanted)
        begin = int(wanted.split("=")[1].rstrip("-")) if wanted else 0
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(CONTENT) - begin))
        self.end_headers()
        self.wfile.write(CONTENT[begin : None if Server.limit is None else begin + Server.limit])

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Register a model that a server on this machine offers; the cache is empty."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Server.limit, Server.asked = None, []
    file = ModelFile(
        name="tiny.bin",
        purpose="The test model",
        url=f"http://127.0.0.1:{server.server_port}/tiny.bin",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        num_bytes=len(CONTENT),
        licence="CC0-1.0",
    )
    monkeypatch.setitem(MODELS, "tiny.bin", file)
    monkeypatch.setenv("NS_TALKING_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NS_TALKING_MODELS", raising=False)
    for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    yield "tiny.bin"
    server.shutdown()
    server.server_close()


def test_a_model_is_downloaded_once(model: str) -> None:
    assert installed_model(model) is None
    path = find_model(model)
    assert path == cache_folder() / model and path.read_bytes() == CONTENT
    assert find_model(model) == path and len(Server.asked) == 1
    assert [entry.name for entry in cache_folder().iterdir()] == [model]


def test_a_broken_download_continues_where_it_stopped(model: str) -> None:
    Server.limit = 300_000
    with pytest.raises(FileNotFoundError, match="300000 of 1024000 bytes"):
        find_model(model)
    Server.limit = None
    assert find_model(model).read_bytes() == CONTENT
    assert Server.asked == [None, "bytes=300000-"]


def test_the_folder_asked_for_comes_before_the_environment_and_the_cache(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = find_model(model)
    for name in ("mine", "environment"):
        (tmp_path / name).mkdir()
        (tmp_path / name / model).write_bytes(CONTENT)
    monkeypatch.setenv("NS_TALKING_MODELS", str(tmp_path / "environment"))
    assert find_model(model, tmp_path / "mine") == tmp_path / "mine" / model
    assert find_model(model) == tmp_path / "environment" / model
    monkeypatch.delenv("NS_TALKING_MODELS")
    assert find_model(model) == cached


def test_a_file_that_is_not_the_model_is_refused(model: str, tmp_path: Path) -> None:
    (tmp_path / model).write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(ValueError, match="SHA-256 differs.*Delete it"):
        find_model(model, tmp_path)


def test_a_download_that_is_not_the_model_is_refused_and_removed(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, model, ModelFile(**{**vars(MODELS[model]), "sha256": "0" * 64}))
    with pytest.raises(ValueError, match="is not the The test model|is not the"):
        find_model(model)
    assert not any(cache_folder().iterdir())


def test_offline_the_error_names_file_address_and_folder(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, model, ModelFile(**{**vars(MODELS[model]), "url": "http://models.example/tiny.bin"}))
    with pytest.raises(FileNotFoundError) as caught:
        find_model(model)
    message = str(caught.value)
    for part in ("tiny.bin", "http://models.example/tiny.bin", str(cache_folder()), "--models", "CC0-1.0"):
        assert part in message


def test_shared_models_are_the_pinned_ones(shared: Path) -> None:
    for name in ("face_landmarker.task", "selfie_segmentation.tflite"):
        assert installed_model(name, shared / "models") == shared / "models" / name
