from __future__ import annotations

import gzip
import hashlib
import random
import threading
from typing import TYPE_CHECKING

import pytest

from edge_agent.errors import SyncError
from edge_agent.modelstore.blobs import BlobStore
from edge_agent.modelstore.fetcher import MAX_BARREN_REQUESTS, Fetcher, Limits
from edge_agent.modelstore.http_origin import HttpOrigin, HttpSettings
from edge_agent.modelstore.layout import StoreLayout
from edge_agent.modelstore.origin import FolderOrigin
from tests.modelstore import servers
from tests.modelstore.plant import serving

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge_agent.modelstore.origin import Origin
    from tests.conftest import WaitFor
    from tests.modelstore.servers import Answer, Behaviour

CONTENT = random.Random(6).randbytes(100_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
QUICK = Limits(wait_s=0.001, max_wait_s=0.002)
SETTINGS = HttpSettings(silence_s=5, read_s=5, stream_s=5)


def fetcher(
    tmp_path: Path,
    origin: Origin,
    limits: Limits = QUICK,
    stop: threading.Event | None = None,
) -> Fetcher:
    store = BlobStore(StoreLayout(tmp_path / "store"), 10 << 20)
    ending = stop or threading.Event()
    return Fetcher(origin, store, limits, random.Random(2), ending.wait)


def fetch_from(
    tmp_path: Path, behaviour: Behaviour, limits: Limits = QUICK, settings: HttpSettings = SETTINGS
) -> tuple[Fetcher, str]:
    """Fetch from a server that behaves so; return the fetcher and the code of the failure."""
    with serving(servers.server(behaviour)) as url:
        made = fetcher(tmp_path, HttpOrigin(url, settings), limits)
        try:
            made.fetch(SHA256, len(CONTENT))
        except SyncError as failure:
            return made, failure.code
        finally:
            made.origin.close()
    return made, ""


def test_a_blob_comes_whole_in_one_request(tmp_path: Path) -> None:
    behaviour = servers.Behaviour(CONTENT, servers.well)
    made, code = fetch_from(tmp_path, behaviour)
    assert code == ""
    assert made.store.layout.blob(SHA256).read_bytes() == CONTENT
    assert behaviour.ranges == [""]
    assert not list((tmp_path / "store" / "partial").iterdir())


@pytest.mark.parametrize("count", [1024, 7777, 50_000, 99_999])
def test_a_link_cut_again_and_again_costs_no_byte_twice(tmp_path: Path, count: int) -> None:
    behaviour = servers.Behaviour(CONTENT, servers.cut_after(count))
    made, code = fetch_from(tmp_path, behaviour)
    assert code == ""
    assert made.store.is_sound(SHA256)
    assert behaviour.sent == len(CONTENT)
    assert len(behaviour.ranges) == -(-len(CONTENT) // count)


def test_what_came_before_a_restart_is_kept(tmp_path: Path) -> None:
    def cut_then_gone(answer: Answer) -> None:
        (servers.refusing(404) if answer.start else servers.cut_after(60_000))(answer)

    first, _ = fetch_from(tmp_path, servers.Behaviour(CONTENT, cut_then_gone))
    assert first.store.part_length(SHA256) == 60_000
    behaviour = servers.Behaviour(CONTENT, servers.well)
    _, code = fetch_from(tmp_path, behaviour)
    assert code == ""
    assert behaviour.ranges == ["bytes=60000-99999"]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (servers.portal, "bad_answer"),
        (servers.redirects, "bad_answer"),
        (servers.refusing(404), "not_found"),
        (servers.refusing(403), "not_found"),
        (servers.refusing(500), "bad_answer"),
        (servers.refusing(503), "busy"),
        (servers.refusing(429), "busy"),
        (servers.wrong_range, "bad_answer"),
        (servers.ignores_ranges, "bad_answer"),
        (servers.refuses_ranges, "bad_answer"),
        (servers.cut_after(0), "offline"),
        (servers.cut_after(1), "offline"),
        (servers.endless, "bad_blob"),
    ],
)
def test_a_server_that_does_wrong_is_given_up_with_a_reason(
    tmp_path: Path, answer: Callable[[Answer], None], code: str
) -> None:
    behaviour = servers.Behaviour(CONTENT, answer)
    made, found = fetch_from(tmp_path, behaviour)
    assert found == code
    assert not made.store.holds(SHA256, len(CONTENT))
    assert len(behaviour.ranges) <= MAX_BARREN_REQUESTS + 1
    # However bad it was, the next poll from a good server succeeds.
    _, code = fetch_from(tmp_path, servers.Behaviour(CONTENT, servers.well))
    assert code == ""


def test_an_endless_answer_fills_no_disk(tmp_path: Path) -> None:
    made, code = fetch_from(tmp_path, servers.Behaviour(CONTENT, servers.endless))
    assert code == "bad_blob"
    assert made.store.part_length(SHA256) == 0


def test_a_drip_ends_by_the_rate_floor_and_keeps_what_came(tmp_path: Path) -> None:
    limits = Limits(wait_s=0.001, max_wait_s=0.002, min_bytes_per_s=5000, rate_window_s=0.1)
    behaviour = servers.Behaviour(CONTENT, servers.drip)
    made, code = fetch_from(tmp_path, behaviour, limits)
    assert code == "too_slow"
    assert len(behaviour.ranges) == MAX_BARREN_REQUESTS
    assert made.store.part_length(SHA256) > 0


def test_a_drip_above_the_rate_floor_ends_by_the_deadline(tmp_path: Path) -> None:
    limits = Limits(deadline_s=0.3, min_bytes_per_s=1, rate_window_s=0.1)
    _, code = fetch_from(tmp_path, servers.Behaviour(CONTENT, servers.drip), limits)
    assert code == "too_slow"


@pytest.mark.parametrize("answer", [servers.drip_head, servers.silence])
def test_a_server_that_never_comes_to_its_answer_is_hung_up_on(
    tmp_path: Path, answer: Callable[[Answer], None], wait_for: WaitFor
) -> None:
    settings = HttpSettings(silence_s=0.1, stream_s=0.1)
    behaviour = servers.Behaviour(CONTENT, answer)
    with serving(servers.server(behaviour)) as url:
        made = fetcher(tmp_path, HttpOrigin(url, settings))
        with pytest.raises(SyncError, match="offline"):
            made.fetch(SHA256, len(CONTENT))
        made.origin.close()
        # It may come to the last of them only when it has been given up.
        wait_for(lambda: len(behaviour.ranges) >= MAX_BARREN_REQUESTS)
    assert len(behaviour.ranges) == MAX_BARREN_REQUESTS


def test_flipped_bits_heal_where_only_the_way_was_bad_and_end_where_the_file_is(
    tmp_path: Path,
) -> None:
    flipped = bytes([CONTENT[0] ^ 1]) + CONTENT[1:]
    behaviour = servers.Behaviour(flipped, servers.well)
    _, code = fetch_from(tmp_path, behaviour)
    assert (code, len(behaviour.ranges)) == ("bad_blob", 2)

    def heals(answer: Answer) -> None:
        servers.well(answer)
        answer.behaviour.content = CONTENT

    _, code = fetch_from(tmp_path, servers.Behaviour(flipped, heals))
    assert code == ""


def test_an_agent_that_ends_stops_a_fetch_between_two_requests(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    with serving(servers.server(servers.Behaviour(CONTENT, servers.cut_after(0)))) as url:
        made = fetcher(tmp_path, HttpOrigin(url, SETTINGS), stop=stop)
        with pytest.raises(SyncError, match="stopped"):
            made.fetch(SHA256, len(CONTENT))


def test_a_server_that_is_away_is_offline(tmp_path: Path) -> None:
    made = fetcher(tmp_path, HttpOrigin("http://127.0.0.1:9/", SETTINGS))
    with pytest.raises(SyncError, match="offline"):
        made.fetch(SHA256, len(CONTENT))


def test_a_folder_serves_the_same_blob_and_a_shorter_file_is_no_blob(tmp_path: Path) -> None:
    blob = tmp_path / "stick" / "blobs" / "sha256" / SHA256
    blob.parent.mkdir(parents=True)
    blob.write_bytes(CONTENT[:5000])
    made = fetcher(tmp_path, FolderOrigin(tmp_path / "stick"))
    with pytest.raises(SyncError, match="offline"):
        made.fetch(SHA256, len(CONTENT))
    blob.write_bytes(CONTENT)
    assert made.fetch(SHA256, len(CONTENT)).fetched == len(CONTENT) - 5000


def test_metadata_may_come_compressed_and_a_bomb_is_not_unpacked() -> None:
    def packed(answer: Answer) -> None:
        body = gzip.compress(answer.behaviour.content)
        assert answer.headers["Accept-Encoding"] == "gzip"
        answer.head(200, len(body), Content_Encoding="gzip")
        answer.body(body)

    behaviour = servers.Behaviour(b"{}" * 500, packed)
    with serving(servers.server(behaviour)) as url:
        origin = HttpOrigin(url, SETTINGS)
        assert origin.read("a.json", 1000) == b"{}" * 500
        assert behaviour.sent < 100
        behaviour.content = bytes(50 << 20)
        with pytest.raises(SyncError, match="too_large"):
            origin.read("a.json", 1_000_000)
        origin.close()


@pytest.mark.parametrize("answer", [servers.endless, servers.cut_after(10), servers.drip_head])
def test_small_files_are_bounded_in_bytes_and_time(answer: Callable[[Answer], None]) -> None:
    with serving(servers.server(servers.Behaviour(CONTENT, answer))) as url:
        origin = HttpOrigin(url, HttpSettings(silence_s=1, read_s=0.2))
        with pytest.raises(SyncError, match=r"too_large|offline"):
            origin.read("metadata/timestamp.json", 1 << 20)
        origin.close()


def test_a_connection_is_closed_at_once_though_the_error_that_ended_it_is_kept() -> None:
    hung_up = threading.Event()

    def endless(answer: Answer) -> None:
        try:
            servers.endless(answer)
        except OSError:
            hung_up.set()

    with serving(servers.server(servers.Behaviour(CONTENT, endless))) as url:
        with pytest.raises(SyncError) as kept:
            HttpOrigin(url, SETTINGS).read("metadata/timestamp.json", 1000)
        assert hung_up.wait(60)
    assert kept.value.code == "too_large"


def test_a_proxy_is_asked_with_the_whole_address_and_the_password(tmp_path: Path) -> None:
    asked: list[tuple[str, str | None]] = []

    def proxied(answer: Answer) -> None:
        asked.append((answer.path, answer.headers["Proxy-Authorization"]))
        servers.well(answer)

    with serving(servers.server(servers.Behaviour(CONTENT, proxied))) as url:
        proxy = url.replace("http://", "http://agent:secret@")
        origin = HttpOrigin("http://models.example/fleet/", HttpSettings(proxy=proxy))
        fetcher(tmp_path, origin).fetch(SHA256, len(CONTENT))
        origin.close()
    assert asked == [
        (f"http://models.example/fleet/blobs/sha256/{SHA256}", "Basic YWdlbnQ6c2VjcmV0")
    ]
