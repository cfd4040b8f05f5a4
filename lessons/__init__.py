"""The lessons: a walk through BERT's source. ``README.md`` is the index; every ``NN_name.py`` runs by itself."""
