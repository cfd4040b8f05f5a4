"""Pseudo-log-likelihood as transformers gives it, one masked copy at a time."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from minibert import scoring  # noqa: E402
from minibert.api import Bert  # noqa: E402
from tests import tiny_model  # noqa: E402

TEXTS = ["the exception raises an exception.", ("abc the", "an exceptions."), "x", ["abc", "the", "de"]]


@pytest.mark.parametrize("metric", scoring.METRICS)
@pytest.mark.parametrize(("dtype", "limit"), [("float32", 1e-5), ("float64", 1e-12)])
def test_one_copy_at_a_time(tmp_path, metric, dtype, limit):
    config, parameters, tokenizer = tiny_model.make()
    bert = Bert(config, parameters.astype(dtype), tokenizer)
    bert.save(tmp_path, dtype)
    peer = transformers.BertForMaskedLM.from_pretrained(tmp_path, attn_implementation="eager", dtype=getattr(torch, dtype)).eval()
    fast = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text, one in zip(TEXTS, bert.score(TEXTS, metric)):
        parts = text if isinstance(text, tuple) else (text,)
        theirs = fast(*parts, return_tensors="pt", is_split_into_words=isinstance(text, list))
        words, segments = theirs.word_ids(), theirs.sequence_ids()
        expected = []
        for t in range(len(words)):
            if words[t] is None:
                continue
            hidden = [s for s in range(len(words)) if (words[s], segments[s]) == (words[t], segments[t])
                      and (metric == "whole_word" or s == t or (metric == "within_word_l2r" and s > t))]
            ids = theirs["input_ids"].clone()
            ids[0, hidden] = fast.mask_token_id
            with torch.inference_mode():
                logits = peer(**{**theirs, "input_ids": ids}).logits[0, t]
            expected.append(float(logits.log_softmax(-1)[theirs["input_ids"][0, t]]))
        np.testing.assert_allclose(one.log_probs, expected, rtol=limit)
        assert [one.words, one.offsets] == [[w for w in words if w is not None], [
            tuple(place) for place, w in zip(fast(*parts, is_split_into_words=isinstance(text, list),
                                                  return_offsets_mapping=True)["offset_mapping"], words) if w is not None]]
