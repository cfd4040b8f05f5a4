"""Texts as tokens, made once: shards of arrays that a run reads by windows, whatever their number, and a manifest.

::

    DATA/minibert-text.json                   what it was made of and with, how much there is, every shard in order
    DATA/vocab.txt, tokenizer_config.json     the tokenizer, in the files of its kind
    DATA/shards/1c0e….ids.npy                 (N,)  the ids of all sentences, 16 bits each where the vocabulary allows it, else 32
    DATA/shards/1c0e….sentences.npy           (S,)  where each sentence begins among the ids
    DATA/shards/1c0e….documents.npy           (D,)  where each document begins among the sentences, and the number it has drawn

A shard is made of one slice of the texts and called by its hash, so that what was made of a slice need not be made again: not
after an interruption, nor when other text has been added. The number of a document is a hash of its sentences; those below a
bound are held out, wherever they stand and whatever stands beside them.
"""
