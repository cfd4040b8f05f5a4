"""What the server answers and what it refuses, over real connections."""

import concurrent.futures
import errno
import http.client
import json
import math
import os
import shlex
import socket
import threading
import time

import numpy as np
import pytest

from minibert.analysis import inside
from minibert.api import Bert
from minibert.demo import server
from minibert.demo.views import ENDPOINTS, MAP_LIMIT, WORK_LIMIT, Views
from minibert.finetuning import early, saved
from minibert.world import World
from tests import tiny_model
from tests.demo.conftest import unpacked

SENTENCE = {"text": "they are not supported.", "hide": [2]}


def test_every_answer_is_what_its_own_lines_of_python_compute(demo):
    lines = {}
    for name, extra in (("guesses", {"off": [[0, 1]], "top": 4}), ("layers", {"top": 3}),
                        ("attention", {"layer": 1, "position": 3}), ("importance", {}),
                        ("attribution", {"steps": 8}), ("scores", {"layer": 1, "head": 1, "position": 2}), ("tokens", {}),
                        ("rollout", {"layer": 1, "position": 2, "off": [[0, 1]]}), ("pruning", {})):
        status, answer = demo.post(name, **SENTENCE, **extra)
        assert status == 200
        scope = {}
        *first, last = answer["python"]
        exec("\n".join(first), scope)
        lines[name] = answer, eval(last, scope)
    answer, found = lines["guesses"]
    assert [w["word"] for w in answer["guesses"][0]["words"]] == [w for w, _ in found[0].words]
    assert answer["guesses"][0]["entropy"] == pytest.approx(found[0].entropy)
    answer, found = lines["layers"]
    assert [layer["guess"]["rank"] for layer in answer["layers"]] == [layer[0].rank for layer in found]
    answer, found = lines["attention"]
    np.testing.assert_allclose(answer["weights"], found[1, 0], atol=1e-4)
    np.testing.assert_allclose(answer["through"], found[:, :, 3], atol=1e-4)
    np.testing.assert_allclose(unpacked(answer["maps"]), found, atol=1 / 255)
    answer, found = lines["importance"]
    np.testing.assert_allclose(answer["gradient"], found.gradient, atol=1e-5)
    answer, found = lines["attribution"]
    np.testing.assert_allclose(answer["integrated"], found.integrated, atol=1e-4)
    assert answer["error"] == pytest.approx(found.error, abs=1e-6)
    answer, found = lines["scores"]
    np.testing.assert_allclose(np.sum(answer["products"], -1), found.score[2], atol=1e-3)
    answer, found = lines["rollout"]
    np.testing.assert_allclose(answer["rollout"], found[1], atol=1e-4)
    np.testing.assert_allclose(answer["through"], found[:, 2], atol=1e-4)
    np.testing.assert_allclose(np.sum(answer["raw"], 1), 1, atol=1e-3)
    answer, found = lines["pruning"]
    assert (answer["order"], answer["closed"]) == (found.order.tolist(), found.closed.tolist())
    np.testing.assert_allclose([answer["ordered"], answer["reverse"]], [found.ordered, found.reverse], atol=1e-4)
    answer, found = lines["tokens"]
    assert [t["token"] for t in answer["tokens"]] == [token for token, _, _ in found]


def test_a_second_model_is_asked_the_same(demo, two_demo, bert):
    status, answer = demo.post("side_by_side", text="a [MASK] b")
    assert status == 400
    assert "name one with minibert demo MODEL --beside DIR" in answer["error"]
    assert two_demo.ask("GET", "/api/model")[1]["beside"] is True
    status, answer = two_demo.post("side_by_side", text="they are not supported.", hide=[2], top=3)
    assert status == 200
    assert [one["name"] for one in answer["models"]] == ["the bundled model", "student"]
    for one, model in zip(answer["models"], (bert, two_demo.student)):
        [found] = inside.guesses(model, inside.ask(model, "they are not supported.", hide=[2]), 3)
        assert one["layers"] == model.config.num_hidden_layers
        assert one["guesses"][0]["truth"] == "are"
        assert [guess["word"] for guess in one["guesses"][0]["words"]] == [word for word, _ in found.words]
    exec("\n".join(answer["python"]), {})
    with pytest.raises(ValueError, match="--beside: the vocabulary of the model in"):
        Views(bert, "a", lambda: ("", []), minibert_of_other_words())


def minibert_of_other_words():
    return Bert(*tiny_model.make())


def test_of_a_model_with_branches_it_is_told_what_each_says_and_of_others_it_is_not(demo, early_demo):
    assert demo.ask("GET", "/api/model")[1]["leaves_early"] is False
    status, answer = demo.post("exits", text="a b")
    assert status == 400
    assert "this model has no branches" in answer["error"]
    assert early_demo.ask("GET", "/api/model")[1]["leaves_early"] is True
    for endpoint in early_demo.ask("GET", "/api")[1]["endpoints"]:
        if endpoint["path"].endswith("exits"):
            assert early_demo.ask("POST", endpoint["path"], endpoint["example"])[0] == 200
    for pair in (None, "c d e"):
        status, answer = early_demo.post("exits", text="a b [MASK]", pair=pair)
        assert status == 200
        model = saved.load(early_demo.folder)
        found = early.said(model, "a b [MASK]", pair)
        assert [one["layer"] for one in answer["layers"]] == [1, 2, 3, 4]
        assert [one["uncertainty"] for one in answer["layers"]] == pytest.approx([one.uncertainty for one in found], abs=1e-5)
        np.testing.assert_allclose([one["shares"] for one in answer["layers"]], [one.shares for one in found], atol=1e-5)
        scope = {}
        exec("\n".join(answer["python"]).replace("early.said", "found = early.said"), scope)
        assert [one.layer for one in scope["found"]] == [1, 2, 3, 4]


def test_of_a_generated_language_the_truth_is_shown_and_of_others_it_is_not(demo, world_demo):
    assert demo.ask("GET", "/api/model")[1]["world"] is False
    for name in ("truth", "tree"):
        status, answer = demo.post(name, **SENTENCE)
        assert status == 400
        assert "the truth is known of a generated language only" in answer["error"]
    model = world_demo.ask("GET", "/api/model")[1]
    assert model["world"] is True
    assert len(model["examples"]) == 10
    text = model["examples"][0]["text"]
    status, answer = world_demo.post("truth", text=text, hide=[2], top=64)
    [mask] = answer["masks"]
    assert status == 200
    assert mask["hidden"] == text.split()[1]
    world = World.of("small")
    [p] = world.posterior([text.split()[0], "[MASK]", *text.split()[2:]], [1])
    assert [word["truth"] for word in mask["words"]] == [p[world.words.index(word["word"])] for word in mask["words"]]
    assert [word["truth"] for word in mask["words"]] == sorted((word["truth"] for word in mask["words"]), reverse=True)
    status, answer = world_demo.post("truth", text="the the", hide=[1])
    assert "no text of this language could be seen as" in answer["error"]
    for endpoint in world_demo.ask("GET", "/api")[1]["endpoints"]:
        if endpoint["path"] in ("/api/truth", "/api/tree"):
            assert world_demo.ask("POST", endpoint["path"], endpoint["example"])[0] == 200
    status, answer = world_demo.post("tree", text=text, layer=1)
    assert status == 200
    words, sentences = answer["words"], answer["sentences"]
    at = [i for i, word in enumerate(words) if word.isalnum()]
    assert len(answer["edges"]) == len(at) - 1
    assert {i for edge in answer["edges"] for i in edge} == set(at)
    status, answer = world_demo.post("tree", text=sentences[0], layer=0)
    assert len(answer["gold"]) == len(sentences[0].split()) - 1
    assert len(answer["uuas"]) == 3
    status, answer = world_demo.post("tree", text=text, layer=3)
    assert "there is no hidden state 3" in answer["error"]


def test_the_lines_name_the_model_that_answers(bert, tmp_path):
    bert.save(tmp_path / "my model")
    import minibert

    views = Views(minibert.load(tmp_path / "my model"), "mine", lambda: ("", []))
    from minibert.demo.views import Request

    lines = views.guesses(Request("a 'quoted' \"text\"", "and a pair"))["python"]
    scope = {}
    exec("\n".join(lines), scope)
    assert scope["bert"].folder == tmp_path / "my model"
    assert scope["question"].token_type_ids.any()


def test_the_page_and_its_documentation(demo):
    status, page = demo.ask("GET", "/")
    assert status == 200
    assert b"<title>minibert" in page
    assert "default-src 'none'" in demo.headers["content-security-policy"]
    assert demo.ask("GET", "/page/app.js")[0] == 200
    status, api = demo.ask("GET", "/api")
    for endpoint in api["endpoints"]:
        if endpoint["example"] and not endpoint["path"].endswith("neighbours"):
            status, answer = demo.ask("POST", endpoint["path"], endpoint["example"])
            assert status == 200, answer
    assert {e["path"] for e in api["endpoints"]} >= {f"/api/{e.name}" for e in ENDPOINTS if not e.needs}
    assert demo.ask("GET", "/api/watch")[0] == 404
    assert demo.ask("GET", "/page/../server.py")[0] == 404
    assert demo.ask("GET", "/page/%2e%2e/server.py")[0] == 404


def test_examples_are_labelled_by_what_the_model_does(demo, bert):
    _, model = demo.ask("GET", "/api/model")
    labels = [example["right"] for example in model["examples"]]
    assert labels.count(True) >= 4
    assert labels.count(False) >= 3
    for example in model["examples"]:
        best = inside.guesses(bert, inside.ask(bert, example["text"], hide=example["hide"]), 1)[0]
        assert (best.rank == 1) or not example["right"]


def test_neighbours_are_read_in_the_background_and_then_found(demo):
    for _ in range(200):
        status, answer = demo.post("neighbours", **SENTENCE, position=4, top=2)
        assert status == 200
        if "reading" not in answer:
            break
        threading.Event().wait(0.05)
    assert answer["source"] == "a few sentences"
    assert [layer["neighbours"][0]["token"] for layer in answer["layers"]] == ["supported"] * 3


def test_a_text_for_neighbours_that_cannot_be_read_is_said_and_tried_again(bert, serve):
    tries = []

    def sentences():
        tries.append(1)
        raise ValueError("stories.txt is not UTF-8")

    running = serve(Views(bert, "", sentences))
    for count in (1, 2):
        running.post("neighbours", text="a list")
        while (answer := running.post("neighbours", text="a list"))[0] == 200:
            threading.Event().wait(0.01)
        assert answer == (400, {"error": "the text to look for neighbours in cannot be read: stories.txt is not UTF-8"})
        assert len(tries) == count


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "", "192.168.1.7",
                                  "[::2]"])
def test_other_names_for_this_machine_are_refused(demo, host):
    status, answer = demo.ask("POST", "/api/tokens", {"text": "a"}, {"Host": host})
    assert (status, "open the address that it printed" in answer["error"]) == (403, True)
    assert demo.ask("GET", "/", headers={"Host": host})[0] == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:{port}", "http://127.0.0.1:{other}",
                                    "http://localhost:{port}"])
def test_pages_from_elsewhere_are_refused(demo, origin):
    origin = origin.format(port=demo.port, other=demo.port + 1)
    status, answer = demo.ask("POST", "/api/tokens", {"text": "a"}, {"Origin": origin})
    assert (status, "are not answered" in answer["error"]) == (403, True)
    assert demo.ask("POST", "/api/tokens", {"text": "a"}, {"Origin": f"http://127.0.0.1:{demo.port}"})[0] == 200


def test_listening_to_others_lets_numbers_in_but_not_names(bert, serve):
    running = serve(Views(bert, "", lambda: ("", [])), loopback=False)
    assert running.ask("POST", "/api/tokens", {"text": "a"}, {"Host": "192.168.1.7:8737"})[0] == 200
    assert running.ask("POST", "/api/tokens", {"text": "a"}, {"Host": "evil.example"})[0] == 403


def test_large_bodies_are_refused_with_and_without_a_length(demo):
    big = json.dumps({"text": "a" * 70_000}).encode()
    assert demo.ask("POST", "/api/guesses", big)[0] == 413
    connection = socket.create_connection(("127.0.0.1", demo.port), timeout=20)
    head = f"POST /api/guesses HTTP/1.1\r\nHost: 127.0.0.1:{demo.port}\r\nTransfer-Encoding: chunked\r\n\r\n"
    connection.sendall(head.encode())
    for _ in range(3):
        connection.sendall(b"7000\r\n" + b"a" * 0x7000 + b"\r\n")
    connection.sendall(b"0\r\n\r\n")
    assert b" 413 " in connection.recv(200)
    connection.close()
    just = {"text": "the list " * 7000}
    status, answer = demo.post("tokens", **just)
    assert (status, answer["cut"]) == (200, 14_000 - 62)


@pytest.mark.parametrize(("body", "says"), [
    (b"", "not JSON"), (b"{", "not JSON"), (b"\xff\xfe", "not JSON"), (b"[" * 30_000, "not JSON"), (b"[]", "a JSON object"),
    (b"{}", '"text" must be a string'), ({"text": 3}, '"text" must be a string'),
    ({"text": "a", "pair": []}, '"pair" must be a string'),
    ({"text": "a", "hide": [True]}, '"hide" must be a list'), ({"text": "a", "hide": [99]}, "there is no token 99"),
    ({"text": "a", "hide": [0]}, "cannot be hidden"), ({"text": "a", "hide": [10**40]}, '"hide" must be a list'),
    ({"text": "a", "off": [[9, 9]], "hide": [1]}, "there is no head 9.9"), ({"text": "a", "off": [1]}, '"off" must be'),
    ({"text": "a", "top": 0}, '"top" must be from 1 to 64'), ({"text": "a", "top": 1.5}, '"top" must be a whole number'),
    ({"text": "a", "nonsense": 1}, "unknown field 'nonsense'"), ({"k" * 60_000: 1, "text": "a"}, "unknown field 'kkk"),
    (b'{"text": "a", "off": %b}' % (b"[" * 900 + b"]" * 900), "nested too deeply"), (b'{"text": "a", "top": NaN}', "got nan"),
    (b'{"text": "a", "top": 1e400}', "got inf"), (b'{"text": "a", "top": %b}' % (b"9" * 5000), "not JSON")])
def test_what_makes_no_sense_is_explained(demo, body, says):
    status, answer = demo.ask("POST", "/api/guesses", body)
    assert (status, says in answer["error"]) == (400, True), answer
    assert len(answer["error"]) < 300


@pytest.mark.parametrize(("name", "asked", "says"), [
    ("attention", {"layer": 2}, "there is no head 2.0"), ("attention", {"position": 99}, "there is no token 99"),
    ("scores", {"position": -1}, "there is no token -1"), ("layers", {"position": 1}, "token 1 is not hidden; hidden are 2"),
    ("attribution", {"position": 1}, "token 1 is not hidden"), ("attribution", {"steps": 257}, "from 1 to 256"),
    ("attribution", {"word": "w" * 50_000}, "the vocabulary has no token 'www")])
def test_what_is_not_there_is_said(demo, name, asked, says):
    status, answer = demo.post(name, **SENTENCE, **asked)
    assert (status, says in answer["error"]) == (400, True), answer
    assert len(answer["error"]) < 300


def test_an_answer_holds_what_is_drawn_of_a_long_text(serve):
    config, parameters, tokenizer = tiny_model.make(max_position_embeddings=400)
    bert = Bert(config, parameters, tokenizer)
    running = serve(Views(bert, "long positions", lambda: ("", [])))
    text = "the " * 100 + "[MASK] " * 200 + "an " * 98
    status, answer = running.post("attention", text=text, layer=1, head=2, position=7)
    found = inside.attention(bert, inside.ask(bert, text))
    assert (status, np.shape(answer["weights"]), np.shape(answer["through"])) == (200, (400, 400), (2, 3, 400))
    starts, maps = answer["blocks"], unpacked(answer["maps"])
    assert maps.shape[2] == len(starts) <= MAP_LIMIT + 3
    assert (starts[:2], starts[-1]) == ([0, 1], 399)  # [CLS] and [SEP] are blocks of their own
    np.testing.assert_allclose(maps[1, 2, 0, 5], found[1, 2, 0, starts[5]:starts[6]].max(), atol=1 / 255)
    np.testing.assert_allclose(maps[0, 0, 5, 0], found[0, 0, starts[5]:starts[6], 0].max(), atol=1 / 255)
    status, answer = running.post("layers", text=text, position=150)
    assert (status, [layer["guess"]["position"] for layer in answer["layers"]]) == (200, [150] * 3)
    assert [g["position"] for g in running.post("guesses", text=text)[1]["guesses"]] == list(range(101, 301))
    status, answer = running.post("attribution", text=text, steps=WORK_LIMIT // 400 + 1)
    assert (status, "from 1 to 40 for a text of 400 tokens, got 41" in answer["error"]) == (400, True)
    assert running.post("attribution", text=text, steps=2)[0] == 200


def test_a_model_of_numbers_that_are_not_finite_is_said(serve):
    config, parameters, tokenizer = tiny_model.make()
    running = serve(Views(Bert(config, parameters, tokenizer), "astray", lambda: ("", ["the exception"])))
    parameters.flat[:] = np.nan
    for name in ("guesses", "layers", "attention", "scores", "importance", "attribution"):
        status, answer = running.post(name, text="the [MASK] raises")
        assert (status, "not finite" in answer["error"]) == (500, True), name


@pytest.fixture
def endless(monkeypatch):
    """Attributions that end only when they are told to: how many run at a time, and a signal for each that begins and ends."""
    class Endless:
        running = most = 0
        began, ended = threading.Semaphore(0), threading.Semaphore(0)

    def attribution(bert, question, position, word, steps, progress):
        Endless.running += 1
        Endless.most = max(Endless.most, Endless.running)
        Endless.began.release()
        try:
            while True:
                progress(0, 1)
                time.sleep(0.01)
        finally:
            Endless.running -= 1
            Endless.ended.release()

    monkeypatch.setattr(inside, "attribution", attribution)
    return Endless


def asking(running):
    """A connection that has asked for an attribution."""
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=60)
    connection.request("POST", "/api/attribution", json.dumps(SENTENCE))
    return connection


def test_long_requests_hold_nobody_up_and_end_when_their_client_has_gone(bert, serve, endless):
    running = serve(Views(bert, "", lambda: ("", [])))
    connections = [asking(running) for _ in range(3 + 2 * server.available_cores())]
    assert endless.began.acquire(timeout=30)
    for name in ("tokens", "guesses", "attention"):
        assert running.post(name, **SENTENCE)[0] == 200
    for connection in connections:
        connection.close()
    assert endless.ended.acquire(timeout=30)
    while endless.began.acquire(timeout=1):  # one that began before its client's going was seen
        assert endless.ended.acquire(timeout=30)
    last = asking(running)  # it is not kept from its turn by those that have gone
    assert endless.began.acquire(timeout=30)
    last.close()
    assert endless.ended.acquire(timeout=30)
    assert endless.most == 1


def test_requests_that_the_servers_end_cuts_off_are_told_so(bert, serve, endless, capfd):
    running = serve(Views(bert, "", lambda: ("", [])))
    connections = [asking(running) for _ in range(3)]
    assert endless.began.acquire(timeout=30)
    running.stop()
    assert not running.thread.is_alive()
    for connection in connections:
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())) == (503, server.ENDED)
    assert "Traceback" not in capfd.readouterr().err


def test_commands_to_copy_are_for_the_shell_of_this_platform(demo):
    for endpoint in demo.ask("GET", "/api")[1]["endpoints"]:
        if endpoint["command"] and os.name == "posix":
            program, address, option, body = shlex.split(endpoint["command"])
            assert (program, address, option) == ("curl", f"{demo.url}{endpoint['path'][1:]}", "-d")
            assert json.loads(body) == endpoint["example"]


def test_views_without_a_mask_say_so(demo):
    for name in ("importance", "attribution"):
        assert demo.post(name, text="they are")[1]["error"].startswith("nothing is hidden")
    assert demo.post("guesses", text="they are")[1]["guesses"] == []


@pytest.mark.parametrize("text", ["", " ", "[MASK]", "[MASK] " * 200, "<script>alert(1)</script>", "\x00\x07\u202e",
                                  "🐍 e\u0301 \ud800", "列表", "a" * 60_000, "\n\n", "[CLS] [SEP] [PAD]"])
def test_any_text_is_answered(demo, text):
    for name in ("tokens", "guesses", "layers", "attention", "scores"):
        status, answer = demo.post(name, text=text)
        assert status == 200, (name, answer)
    everything = json.dumps(demo.post("attention", text=text)[1])
    assert "NaN" not in everything


def test_a_pair_has_segments_and_a_verdict(demo):
    _, answer = demo.post("tokens", text="a list.", pair="it is empty.")
    assert [t["segment"] for t in answer["tokens"]] == [0] * 5 + [1] * 5
    assert 0 < demo.post("guesses", text="a list.", pair="it is empty.")[1]["follows"] < 1


def test_unknown_and_split_words_are_told(demo):
    _, answer = demo.post("tokens", text="unaffable 🐍")
    assert [t["continues"] for t in answer["tokens"]][1:4] == [False, True, True]
    assert answer["tokens"][-2]["unknown"]


def test_a_thousand_requests_at_once_are_all_answered(demo):
    def one(i):
        status, answer = demo.post("guesses", text=f"the {i} [MASK] statement", top=1)
        return status == 200 and len(answer["guesses"]) == 1

    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        assert all(pool.map(one, range(1000)))


def test_whoever_hangs_up_is_not_waited_for(demo):
    body = json.dumps({**SENTENCE, "steps": 128}).encode()
    head = f"POST /api/attribution HTTP/1.1\r\nHost: 127.0.0.1:{demo.port}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    for cut in (len(head) - 3, len(head), len(head) + 5, len(head) + len(body)):
        for _ in range(10):
            connection = socket.create_connection(("127.0.0.1", demo.port))
            connection.sendall((head + body)[:cut])
            connection.close()
    assert demo.post("guesses", **SENTENCE)[0] == 200


def test_a_model_without_a_masked_word_head_shows_what_it_can(serve):
    config, parameters, tokenizer = tiny_model.make()
    encoder = Bert(config, parameters, tokenizer, initialised=["cls.predictions.bias", "cls.seq_relationship.weight"])
    running = serve(Views(encoder, "an encoder", lambda: ("", ["the exception"])))
    _, model = running.ask("GET", "/api/model")
    assert "no masked-word head" in model["why_no_guesses"]
    assert all(example["right"] is None for example in model["examples"])
    for name in ("tokens", "attention", "scores", "neighbours"):
        assert running.post(name, text="the exception")[0] == 200
    for name in ("guesses", "layers", "importance", "attribution"):
        status, answer = running.post(name, text="the [MASK]")
        assert (status, "no masked-word head" in answer["error"]) == (400, True)


def test_a_port_in_use_is_passed_over():
    first = server.bound("127.0.0.1", 0)
    port = first.getsockname()[1]
    second = server.bound("127.0.0.1", port)
    assert port < second.getsockname()[1] < port + server.PORTS
    for one in (first, second):
        one.close()
    with pytest.raises(OSError, match="cannot be listened on") as error:
        server.bound("192.0.2.1", 8737)
    assert error.value.errno == errno.EADDRNOTAVAIL


def test_answers_do_not_mix_when_many_ask_at_once(demo):
    def loss(words):
        return demo.post("guesses", text=words, hide=[2])[1]["loss"]

    texts = ["they are not supported.", "it is not supported.", "the list of names.", "return true if x."]
    alone = {text: loss(text) for text in texts}
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        for text, found in zip(texts * 40, pool.map(loss, texts * 40)):
            assert math.isclose(found, alone[text], rel_tol=1e-4)


def test_what_the_model_cannot_read_is_said(demo):
    for name in ("tokens", "guesses"):
        status, answer = demo.post(name, text="राम घर the [SEP]", pair="[MASK] not")
        assert status == 200
        assert answer["reading"] == {"tokens": 4, "unknown": 2, "share": 0.5, "special": 2}
    status, answer = demo.post("guesses", text="राम the file", hide=[2])
    assert answer["reading"]["share"] == 0.5  # what is hidden is not part of what could be read
