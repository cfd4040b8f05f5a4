#!/usr/bin/env bash
# tokenizers: StripAccents keeps the combining marks that have come to Unicode since 2016: what it drops are those of Unicode 9.
#
# Version   tokenizers 0.23.3
# Seen      U+0301 is dropped; U+07FD (N'Ko, of Unicode 11), U+08D3 (Arabic, of Unicode 11) and U+1ABF (Latin, of Unicode 13)
#           are kept. Of Unicode 14's 2,408 marks 313 are: 312 that came after Unicode 9, and U+111C9, which was no mark then.
#           Two letters that were marks then, U+1CF2 and U+1CF3, are dropped.
# Expected  every character whose category is a mark (Mn, Mc, Me) is dropped, and no letter.
# Source    tokenizers/src/normalizers/strip.rs takes is_combining_mark from the crate unicode-normalization-alignments, 0.1.12.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -q --no-compile --disable-pip-version-check tokenizers==0.23.3
venv/bin/python - <<'PY'
import sys
import unicodedata

from tokenizers import normalizers

strip = normalizers.StripAccents().normalize_str
characters = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code <= 0xDFFF]
marks = [char for char in characters if unicodedata.category(char)[0] == "M"]
kept = [char for char in marks if strip(char)]
lost = [char for char in characters if unicodedata.category(char)[0] != "M" and not strip(char)]
print(f"Unicode {unicodedata.unidata_version}: {len(kept)} of {len(marks)} marks are kept; dropped, and none:",
      *(f"U+{ord(char):04X}" for char in lost))
assert {"\u07fd", "\u08d3", "\u1abf"} <= {*kept} and "\u0301" not in kept
assert {"\u1cf2", "\u1cf3"} <= {*lost}
if unicodedata.unidata_version == "14.0.0":
    assert (len(kept), len(marks), lost) == (313, 2408, ["\u1cf2", "\u1cf3"])
PY
echo "as described: the behaviour is still there"
