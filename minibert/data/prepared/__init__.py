"""Prepared examples: text that somebody has already cut into pairs, padded and, as a rule, masked.

Three formats are read and written: the reference's records (``tf_example``), NVIDIA's HDF5 shards (``hdf5``) and LDDL's Parquet
(``lddl``). Each module has

    TITLE, ENDING           what it is called, how the names of its files end
    begins(start)           whether a file with these first bytes is one
    blocks(path)            where its examples lie, a block after another; ValueError for a file that was cut short
    read(block, wanted)     the examples of a block; ValueError with the record for what cannot be used
    write(path, instances, vocab, padding)  a whole file

and ``shards`` finds out which one it is, and says which examples are held out.
"""
