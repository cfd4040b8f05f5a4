#!/usr/bin/env bash
# SciPy: the minimum spanning tree of a sparse graph loses edges of length 0 that are stored, so a connected graph has a
# tree in pieces.
#
# Version   scipy 1.17.1, networkx 3.6.1
# Seen      three words, two of them with the same vector (distance 0, stored): connected_components of the graph 1, of
#           its "tree" 2. networkx keeps the edge.
# Expected  a tree with two edges. Distances between words of a probe for syntax are such graphs. (In dense arrays 0
#           means "no edge", as documented; here it is an entry of a sparse one, which csgraph takes for an edge.)
# Source    scipy/sparse/csgraph/_min_spanning_tree.pyx: edges that are not of the tree are set to 0, then
#           sp_tree.eliminate_zeros() removes those of length 0 as well.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -q --no-compile --disable-pip-version-check scipy==1.17.1 networkx==3.6.1 numpy==2.4.6
venv/bin/python - <<'PY'
import networkx
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

graph = csr_array(([0.0, 3.0, 4.0], ([0, 0, 1], [1, 2, 2])), shape=(3, 3))
tree = minimum_spanning_tree(graph)
theirs = networkx.minimum_spanning_tree(networkx.from_scipy_sparse_array(graph))
print(f"stored edges {graph.nnz}; pieces of the graph {connected_components(graph)[0]}, of SciPy's tree "
      f"{connected_components(tree)[0]}; edges of the tree: SciPy {tree.nnz}, networkx {theirs.number_of_edges()}")
assert graph.nnz == 3 and connected_components(graph, directed=False)[0] == 1
assert tree.nnz == 1 and connected_components(tree, directed=False)[0] == 2
assert sorted(theirs.edges) == [(0, 1), (0, 2)]
PY
echo "as described: the behaviour is still there"
