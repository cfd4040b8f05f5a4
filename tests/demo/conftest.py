"""A server that runs for the tests: the bundled model, at a free port of this machine."""

import base64
import http.client
import json
import os
import threading

import numpy as np
import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

import minibert
from minibert.demo import server
from minibert.demo.views import Views

SENTENCES = ["These are not supported.", "They were not supported.", "Return the list of names.",
             "If the file is not found, raise."]


def unpacked(packed):
    """The numbers of an answer that come as steps."""
    steps = np.frombuffer(base64.b64decode(packed["base64"]), f"<u{packed['bits'] // 8}")
    return steps.reshape(packed["shape"]) / (2 ** packed["bits"] - 1)


class Running:
    """An application behind a port. ``post`` and ``get`` return (status, JSON)."""

    def __init__(self, app) -> None:
        self.socket = server.bound("127.0.0.1", 0)
        self.port = self.socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        self.server = server.Server(app)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]}, daemon=True)
        self.thread.start()

    def ask(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        content = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        connection.request(method, path, content, headers or {})
        answer = connection.getresponse()
        data = answer.read()
        self.headers = answer.headers
        connection.close()
        kind = answer.headers.get("content-type", "")
        return answer.status, json.loads(data) if kind.startswith("application/json") else data

    def post(self, name, **body):
        return self.ask("POST", f"/api/{name}", body)

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(10)


@pytest.fixture(scope="session")
def bert():
    return minibert.load()


@pytest.fixture
def serve():
    """``serve(views, …)``: an application that runs until the test ends."""
    running = []

    def start(views, **options):
        running.append(Running(server.application(views, **options)))
        return running[-1]

    yield start
    for one in running:
        one.stop()


@pytest.fixture(scope="module")
def demo(bert):
    one = Running(server.application(Views(bert, "the bundled model", lambda: ("a few sentences", SENTENCES))))
    yield one
    one.stop()


@pytest.fixture(scope="module")
def world_demo():
    """The same of an untrained model of the generated language, with few sentences for its trees."""
    from minibert.analysis import subject
    from tests import world_model

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subject, "QUICK", 150)
        one = Running(server.application(Views(world_model.make(), "a world", lambda: ("", []))))
        yield one
        one.stop()


@pytest.fixture(scope="module")
def two_demo(bert, tmp_path_factory):
    """The bundled model, and beside it a student of one layer that has learned nothing."""
    from minibert import pretrained
    from minibert.model import pretraining

    config = bert.config.replace(num_hidden_layers=1)
    folder = tmp_path_factory.mktemp("two") / "student"
    pretrained.save(folder, config, pretraining.initial_parameters(config, seed=1), bert.tokenizer)
    student = minibert.load(folder, device="cpu")
    one = Running(server.application(Views(bert, "the bundled model", lambda: ("", []), student)))
    one.student = student
    yield one
    one.stop()


@pytest.fixture(scope="module")
def early_demo(tmp_path_factory):
    """The same of a classifier of four layers with branches, all of it random."""
    from minibert.finetuning import models, saved
    from minibert.finetuning.options import Settings
    from minibert.model import exits
    from minibert.parameters import initialise
    from minibert.tasks.labelled import TASKS
    from tests import tiny_model

    config, _, tokenizer = tiny_model.make(num_hidden_layers=4)
    parameters = initialise(exits.branched(models.of(config, "sequence", 2)).layout(), 1.0, 5)
    folder = tmp_path_factory.mktemp("early") / "model"
    settings = Settings(max_length=24)
    saved.save(folder, saved.Model(TASKS["classify"], config, parameters, tokenizer, ["bad", "good"], settings, []))
    one = Running(server.application(Views(minibert.load(folder, device="cpu"), "early", lambda: ("", []))))
    one.folder = folder
    yield one
    one.stop()


def chromium() -> str | None:
    """The browser: ``MINIBERT_CHROMIUM``, or the system's own."""
    import shutil

    if path := os.environ.get("MINIBERT_CHROMIUM"):
        return path
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
