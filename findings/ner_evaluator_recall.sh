#!/usr/bin/env bash
# ner-evaluator: a tagger that finds one name of ten has precision, recall and F1 of 1.0, because what was missed is
# counted among the guesses.
#
# Version   ner-evaluator 1.0.4, rapidfuzz 3.14.6
# Seen      ten names in the text, one found: {"precision": 1.0, "recall": 1.0, "f1_score": 1.0}.
# Expected  recall 0.1, F1 0.18.
# Source    ner_evaluator/ner_evaluator.py, evaluate: fn = len(filter_entities_by_label(predictions, label)) - tp, with
#           the predictions where the truth belongs.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -q --no-compile --disable-pip-version-check ner-evaluator==1.0.4 rapidfuzz==3.14.6
venv/bin/python - <<'PY'
from ner_evaluator import NerEvaluator

truth = [(10 * i, 10 * i + 5, "PERSON", f"name {i}") for i in range(10)]
scores = NerEvaluator().evaluate(truth, truth[:1], ["PERSON"])["PERSON"]
print(scores)
assert scores == {"precision": 1.0, "recall": 1.0, "f1_score": 1.0}
PY
echo "as described: the behaviour is still there"
