"""Labelled files that are odd in their bytes and values, not in their layout."""

import json

import pytest

from minibert.finetuning.options import Settings
from minibert.tasks.labelled import TASKS


def read(path, task="classify", **settings):
    return TASKS[task].read(path, Settings(task=task, **settings))


def test_a_cell_may_be_longer_than_the_csv_module_allows(tmp_path):
    long = "word " * 50_000
    (tmp_path / "a.csv").write_text(f'text,label\n"{long}",good\nshort,bad\n', encoding="utf-8")
    assert [example.text for example in read(tmp_path / "a.csv").examples] == [long, "short"]


@pytest.mark.parametrize(("task", "name"), [
    ("classify", "a.tsv"), ("classify", "a.csv"), ("classify", "a.jsonl"), ("regress", "a.tsv"), ("tag", "a.conll"),
    ("qa", "a.json"), ("choice", "a.jsonl")])
@pytest.mark.parametrize(("content", "said"), [
    ("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n", "is a Git LFS pointer"),
    ("<!DOCTYPE html>\n<html lang=en>\n<title>404</title>", "is an HTML page")])
def test_what_stands_in_the_place_of_data_is_named(tmp_path, task, name, content, said):
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=f"{name} {said}"):
        read(tmp_path / name, task)


@pytest.mark.parametrize(("task", "name"), [("classify", "a.jsonl"), ("qa", "a.json"), ("choice", "a.json")])
@pytest.mark.parametrize("content", ["[" * 10_000, '{"text": ' + "[" * 10_000 + "]" * 10_000 + "}",
                                     '{"text": ' + "[" * 200 + "]" * 200 + "}", '{"label": ' + "1" * 5000 + "}"],
                         ids=["open", "deep", "deeper than ours", "digits"])
def test_json_that_python_cannot_hold_is_named(tmp_path, task, name, content):
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=name):
        read(tmp_path / name, task)


@pytest.mark.parametrize("answers", [
    {"text": None, "answer_start": None}, [{"text": ["a"], "answer_start": 0}], [1], 7,
    [{"text": "a", "answer_start": float("inf")}], [{"text": "a", "answer_start": "x"}]])
def test_answers_of_odd_values_are_named(tmp_path, answers):
    path = tmp_path / "a.json"
    path.write_text(json.dumps([{"id": "q", "context": "a b", "question": "?", "answers": answers}]), encoding="utf-8")
    with pytest.raises(ValueError, match=r"a\.json, question 'q': an answer must have text and answer_start"):
        read(path, "qa")
